"""A base on disk: the labs and PODs that it holds."""

from __future__ import annotations

from pathlib import Path

from iecpod.model import PodRef

_SUFFIX = ".yaml"


def find_labs(base: Path) -> list[str]:
    """Names of the directories of `base`/labs, hidden ones left out; none where it cannot be read."""
    return sorted(child.name for child in _children(base / "labs") if child.is_dir() and child.name[0] != ".")


def find_pods(base: Path, lab: str) -> list[str]:
    """Names of the PODs of one of `find_labs` that have both files; none for anything else."""
    names = _names(base / "labs" / lab) if lab in find_labs(base) else set()
    return sorted(name.removesuffix(_SUFFIX) for name in names if f"idf-{name}" in names)


def find_described_pods(base: Path) -> list[tuple[str, str]]:
    """Lab and POD of every PDF or IDF, as directory and files are named: not all of these can be names of PODs."""
    return [
        (lab, pod)
        for lab in find_labs(base)
        for pod in sorted({name.removeprefix("idf-").removesuffix(_SUFFIX) for name in _names(base / "labs" / lab)})
    ]


def explain_missing(path: Path, ref: PodRef, base: Path) -> tuple[str, str]:
    """What is missing, and what there is instead: the other file, the other PODs of the lab, or the other labs."""
    if not (base / "labs").is_dir():
        return "no such file", f"{base} has no directory labs/: give another base with -b"
    if not path.parent.is_dir():
        return f"there is no lab {ref.lab!r}", f"labs there: {', '.join(find_labs(base)) or 'none'}"
    sibling = path.parent / (path.name.removeprefix("idf-") if path.name.startswith("idf-") else f"idf-{path.name}")
    if sibling.is_file():
        return "no such file", f"a POD needs a PDF and an IDF: write it beside {sibling.name}"
    return f"lab {ref.lab!r} has no POD {ref.pod!r}", f"PODs there: {', '.join(find_pods(base, ref.lab)) or 'none'}"


def _names(directory: Path) -> set[str]:
    return {child.name for child in _children(directory) if child.name.endswith(_SUFFIX) and child.name[0] != "."}


def _children(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
