"""Phases of nodes that a checkpoint has brought back: in place where their kubelets say so."""

from __future__ import annotations

from dataclasses import dataclass

from iecpod.deploy.kubectl.answering_kubelets import AnsweringKubelets
from iecpod.deploy.workflow import Phase


@dataclass(frozen=True, slots=True)
class KnownByKubelets:
    """A phase of nodes that need not be asked themselves once their kubelets answer."""

    phase: Phase
    kubelets: AnsweringKubelets

    @property
    def name(self) -> str:
        return self.phase.name

    @property
    def summary(self) -> str:
        return self.phase.summary

    def probe(self) -> str | None:
        return self.kubelets.find() or self.phase.probe()

    def run(self) -> None:
        self.phase.run()
