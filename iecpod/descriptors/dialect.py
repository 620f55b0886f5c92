"""Descriptors that look like PDF and IDF and are not: named, so that users need not read fifty problems to find out."""

from __future__ import annotations

from typing import Literal

from iecpod.errors import Problem
from iecpod.yaml.document import Document

_REMEDY = "describe the POD as PDF 1.0 and IDF 0.1; `pdf/labs/arm/virtual2.yaml` and its IDF are an example"


def check_dialect(document: Document, kind: Literal["pdf", "idf"]) -> Problem | None:
    """The problem of a descriptor that is written in a known dialect; None for all others."""
    data = document.data
    if not isinstance(data, dict):
        return None
    return _check_idf(document, data) if kind == "idf" else _check_pdf(document, data)


def _check_idf(document: Document, data: dict[str, object]) -> Problem | None:
    """kuberef keeps settings of its own engine and of BMRA beside `idf`."""
    keys = [key for key in ("engine", "bmra") if key in data]
    if not keys:
        return None
    names = " and ".join(repr(key) for key in keys)
    message = f"this is an IDF of opnfv/kuberef, a dialect with the top-level keys {names} that iecpod does not read"
    return document.problem((keys[0],), message, _REMEDY, rule="dialect-kuberef")


def _check_pdf(document: Document, data: dict[str, object]) -> Problem | None:
    """A kuberef PDF has no mark of its own; two of its habits together are never seen in a PDF 1.0."""
    details = data.get("details")
    kind = details.get("type") if isinstance(details, dict) else None
    habits = {
        "it has no version": "version" not in data,
        "details.type is the kind of its machines": kind in ("virtual", "baremetal"),
        "remote management types are lists": _has_listed_type(data.get("jumphost"), data.get("nodes")),
    }
    seen = [habit for habit, is_there in habits.items() if is_there]
    if len(seen) < 2:
        return None
    message = f"this is a PDF of opnfv/kuberef, a dialect that iecpod does not read: {', '.join(seen)}"
    return document.problem((), message, _REMEDY, rule="dialect-kuberef")


def _has_listed_type(jumphost: object, nodes: object) -> bool:
    machines = [jumphost, *(nodes if isinstance(nodes, list) else ())]
    return any(
        isinstance(machine, dict)
        and isinstance(management := machine.get("remote_management"), dict)
        and isinstance(management.get("type"), list)
        for machine in machines
    )
