"""Where the machines of a POD come from."""

from __future__ import annotations

from dataclasses import dataclass

from iecpod.hypervisor_uri import HypervisorUri
from iecpod.options.choices import ProviderName


@dataclass(frozen=True, slots=True)
class Site:
    """Where a POD's machines come from; `uri` is libvirt's, None where there is none."""

    provider: ProviderName
    uri: HypervisorUri | None = None

    def __str__(self) -> str:
        return str(self.uri) if self.makes_machines else "existing machines"

    @property
    def makes_machines(self) -> bool:
        return self.provider.makes_machines
