"""Descriptors that look like PDF and IDF and are not: named, so that users need not read fifty problems to find out."""

from __future__ import annotations

from typing import Literal

from iecpod.errors import Problem
from iecpod.yaml.document import Document

_REMEDY = "describe the POD as PDF 1.0 and IDF 0.1; `pdf/labs/arm/virtual2.yaml` and its IDF are an example"

#: In the file of the machine that XCI itself runs on.
_XCI_VM = "opnfv_vm_pdf"


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
    """Neither dialect has a mark of its own, but two of these habits together are never seen in a PDF 1.0.

    All PDFs of kuberef have the second one, and none of XCI's.
    """
    details = data.get("details")
    kind = details.get("type") if isinstance(details, dict) else None
    names_kind = "details.type is the kind of its machines"
    habits = {
        "it has no version": "version" not in data,
        names_kind: kind in ("virtual", "baremetal"),
        "remote management types are lists": _has_listed_type(data.get("jumphost"), data.get("nodes")),
        f"it has the top-level key {_XCI_VM!r}": _XCI_VM in data,
    }
    seen = [habit for habit, is_there in habits.items() if is_there]
    if len(seen) < 2:
        return None
    name, rule = ("opnfv/kuberef", "dialect-kuberef") if names_kind in seen else ("OPNFV XCI", "dialect-xci")
    message = f"this is a PDF of {name}, a dialect that iecpod does not read: {', '.join(seen)}"
    return document.problem((), message, _REMEDY, rule=rule)


def _has_listed_type(jumphost: object, nodes: object) -> bool:
    machines = [jumphost, *(nodes if isinstance(nodes, list) else ())]
    return any(
        isinstance(machine, dict)
        and isinstance(management := machine.get("remote_management"), dict)
        and isinstance(management.get("type"), list)
        for machine in machines
    )
