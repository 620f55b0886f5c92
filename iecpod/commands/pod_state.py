"""Where the PODs are noted that were deployed from here, and what is noted of them."""

from __future__ import annotations

from pathlib import Path

from iecpod.commands.recalled import Recalled
from iecpod.layout import Layout
from iecpod.model import PodRef

#: Written by every deploy as it begins, and again when all is checked.
NOTE = "deployed.json"


def pod_dir_of(layout: Layout, ref: PodRef) -> Path:
    return layout.state_dir / "pods" / ref.lab / ref.pod


def find_noted_pods(layout: Layout) -> list[PodRef]:
    """Every POD that has a directory of its own, however little is in it."""
    directories = (layout.state_dir / "pods").glob("*/*")
    return sorted(PodRef(path.parent.name, path.name) for path in directories if path.is_dir())


def remember(pod_dir: Path, chosen: Recalled) -> None:
    """In one step, and for the owner only: the base may be a URI with a password."""
    unfinished = pod_dir / f"{NOTE}.partial"
    unfinished.touch(mode=0o600)
    unfinished.write_text(chosen.to_json())
    unfinished.replace(pod_dir / NOTE)


def recall(pod_dir: Path) -> Recalled:
    try:
        return Recalled.from_json((pod_dir / NOTE).read_text())
    except FileNotFoundError:
        return Recalled()
