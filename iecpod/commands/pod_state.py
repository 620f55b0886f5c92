"""Where the PODs are noted that were deployed from here, and what is noted of them."""

from __future__ import annotations

from pathlib import Path

from iecpod.commands.resolve import Recalled
from iecpod.layout import Layout
from iecpod.model import PodRef

#: Written by every deploy as it begins: the hypervisor's URI.
HYPERVISOR_NOTE = "hypervisor"
ADDRESSING_NOTE = "addressing"


def pod_dir_of(layout: Layout, ref: PodRef) -> Path:
    return layout.state_dir / "pods" / ref.lab / ref.pod


def find_noted_pods(layout: Layout) -> list[PodRef]:
    """Every POD that has a directory of its own, however little is in it."""
    directories = (layout.state_dir / "pods").glob("*/*")
    return sorted(PodRef(path.parent.name, path.name) for path in directories if path.is_dir())


def recall(pod_dir: Path) -> Recalled:
    try:
        uri = (pod_dir / HYPERVISOR_NOTE).read_text().strip()
    except FileNotFoundError:
        return Recalled()
    addressing = pod_dir / ADDRESSING_NOTE
    is_compact = addressing.exists() and addressing.read_text().strip() == "compact"
    return Recalled(uri=uri, addressing="compact" if is_compact else "fuel")
