"""How phases went, on the whole and on each node, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from iecpod.errors import DescriptorError, IecpodError, Interrupted, PreflightError

IN_PLACE = "in place"
DONE = "done"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is shown to people; `evidence` is further lines, such as the end of a console."""

    cause: str
    remedy: str
    evidence: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        if isinstance(error, (DescriptorError, PreflightError)):
            return cls(error.cause, error.remedy, "\n".join(map(str, error.problems)))
        if isinstance(error, IecpodError):
            return cls(error.cause, error.remedy, error.evidence)
        if isinstance(error, Interrupted):
            return cls(error.cause, error.remedy, "")
        return cls(f"{type(error).__name__}: {error}", "", "")

    def rewritten(self, rewrite: Callable[[str], str]) -> Failure:
        return Failure(rewrite(self.cause), rewrite(self.remedy), rewrite(self.evidence))


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What one node took in a phase, wall time."""

    node: str
    outcome: str
    seconds: float
    failure: Failure | None = None

    def rewritten(self, rewrite: Callable[[str], str]) -> NodeResult:
        return replace(self, failure=self.failure and self.failure.rewritten(rewrite))


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """`seconds` is wall time, probes included; `detail` is what the last probe saw or why it failed.

    `nodes` are those on which there was work to do.
    """

    name: str
    outcome: str
    seconds: float
    detail: str
    nodes: tuple[NodeResult, ...] = ()
    failure: Failure | None = None

    def rewritten(self, rewrite: Callable[[str], str]) -> PhaseResult:
        """With its sentences changed."""
        return replace(
            self,
            detail=rewrite(self.detail),
            nodes=tuple(node.rewritten(rewrite) for node in self.nodes),
            failure=self.failure and self.failure.rewritten(rewrite),
        )
