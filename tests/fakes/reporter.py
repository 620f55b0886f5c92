"""A reporter for tests that keeps what it is given."""

from __future__ import annotations


class RecordingReporter:
    """`lines` holds what was reported, one text a call: `start PHASE`, `OUTCOME PHASE`, `NODE: message`, `warning: …`.

    What nodes took and what waits saw is apart, in `nodes` and `waits`.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.nodes: list[tuple[str, str]] = []
        self.waits: list[tuple[str, str, str]] = []

    def phase_started(self, phase: str, summary: str) -> None:
        self.lines.append(f"start {phase}")

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        self.lines.append(f"{outcome} {phase}")

    def node_started(self, node: str) -> None:
        self.nodes.append((node, "started"))

    def node_finished(self, node: str, outcome: str, seconds: float) -> None:
        self.nodes.append((node, outcome))

    def progress(self, message: str, node: str = "") -> None:
        self.lines.append(f"{node}: {message}" if node else message)

    def waiting(self, awaited: str, last_seen: str, node: str = "") -> None:
        self.waits.append((node, awaited, last_seen))

    def warn(self, message: str) -> None:
        self.lines.append(f"warning: {message}")
