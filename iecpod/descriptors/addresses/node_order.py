"""Which place each node of a PDF has: a node is known by its name, so one that leaves or joins moves no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from iecpod.model import PodSpec


def assign_places(names: Sequence[str], known: Mapping[str, int]) -> dict[str, int]:
    """The place of each node by name: the one that is `known`, else the lowest that is free.

    Nodes that are known and no longer named keep theirs until they are forgotten.
    """
    taken = set(known.values())
    places = {}
    for name in names:
        place = known[name] if name in known else next(number for number in count() if number not in taken)
        taken.add(place)
        places[name] = place
    return places


def with_places(spec: PodSpec, known: Mapping[str, int], planned_nodes: int | None) -> PodSpec:
    """The POD with the places of the nodes that are `known`.

    Where names are not unique, which is an error that may be demoted, places are indexes.

    Without the node of the first place, which carries the cluster, it is another POD, and nothing is known of that.
    """
    names = [node.name for node in spec.pdf.nodes]
    if len(set(names)) < len(names):
        return spec
    places = assign_places(names, known)
    if 0 not in places.values():
        places, planned_nodes = assign_places(names, {}), None
    pdf = replace(spec.pdf, places=tuple(places[name] for name in names), planned_nodes=planned_nodes)
    return replace(spec, pdf=pdf)


def places_of(spec: PodSpec) -> dict[str, int]:
    """By name of the node."""
    return {node.name: spec.pdf.place(index) for index, node in enumerate(spec.pdf.nodes)}


def merged_places(spec: PodSpec, known: Mapping[str, int]) -> dict[str, int]:
    """With those of nodes that left the PDF, until they are removed."""
    places = places_of(spec)
    return {**{name: place for name, place in known.items() if place not in places.values()}, **places}
