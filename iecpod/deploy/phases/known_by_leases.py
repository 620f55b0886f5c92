"""Phases of nodes that a checkpoint has brought back: in place where the leases of the nodes say so."""

from __future__ import annotations

from dataclasses import dataclass

from iecpod.deploy.kubectl.node_leases import RenewedLeases
from iecpod.deploy.workflow import Phase


@dataclass(frozen=True, slots=True)
class KnownByLeases:
    """A phase of nodes that need not be asked themselves once their leases are renewed."""

    phase: Phase
    leases: RenewedLeases

    @property
    def name(self) -> str:
        return self.phase.name

    @property
    def summary(self) -> str:
        return self.phase.summary

    def probe(self) -> str | None:
        return self.leases.find() or self.phase.probe()

    def run(self) -> None:
        self.phase.run()
