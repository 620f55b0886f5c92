"""What is saved of a POD in its directory: later commands need no options, a teardown no descriptors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from iecpod.errors import UsageError
from iecpod.model import PodRef
from iecpod.options.choices import BundleVia
from iecpod.options.option import Source
from iecpod.options.option_layers import fixed_differences
from iecpod.options.option_table import OPTIONS, PodOptions
from iecpod.outside_json import Json, parse_json


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPod:
    """The options of the POD's deploy, defaults filled in, and what a later deploy keeps to; empty where there is none.

    `places` are those of the nodes, by their names in the PDF, and `planned_nodes` how many there were when the
    networks were made.
    """

    options: PodOptions = field(default_factory=PodOptions)
    places: Mapping[str, int] = field(default_factory=dict, repr=False)  # names may be secrets of the PDF
    planned_nodes: int | None = None

    @property
    def is_noted(self) -> bool:
        """Whether anything is noted of the POD."""
        return self.options.site is not None

    def to_json(self) -> str:
        """One object: options by name, and beside them what is no option."""
        values = {name: value for name, value in asdict(self.options).items() if name in OPTIONS}
        values |= {"places": dict(self.places), "planned_nodes": self.planned_nodes}
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: bytes | str) -> SavedPod:
        """Reads what `to_json` wrote; names of other versions of iecpod are passed over.

        Raises `ValueError` for anything else.
        """
        found = parse_json(text, ValueError).members()
        values = {name: option.read(found[name]) for name, option in OPTIONS.items() if name in found}
        _add_earlier(values, found)
        sources = dict.fromkeys(values, Source.SAVED)
        places = found["places"].members() if "places" in found else {}
        return cls(
            options=PodOptions(**values, sources=sources),
            places={name: place.as_integer() for name, place in places.items()},
            planned_nodes=found["planned_nodes"].as_integer() if "planned_nodes" in found else None,
        )


def _add_earlier(values: dict[str, Any], found: Mapping[str, Json]) -> None:
    """What earlier versions wrote under another name, or had no choice of."""
    if "baked" in found:
        values.setdefault("bundle_via", BundleVia.IMAGE if found["baked"].as_flag() else BundleVia.SSH)
    values.setdefault("disposable", True)


def check_saved(ref: PodRef, saved: PodOptions, wanted: PodOptions) -> None:
    """Raises `UsageError` where a POD that lives is asked to be one that it cannot become."""
    differing = fixed_differences(saved, wanted)
    if differing:
        raise UsageError(
            f"POD {ref} was deployed {'; '.join(differing)}",
            "recreate it with `iecpod redeploy`, or leave the option out",
        )
