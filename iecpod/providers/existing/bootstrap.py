"""From addresses to a described POD: each machine is met and looked at, and nothing is changed on it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from iecpod.errors import PreflightError
from iecpod.providers.existing.dependencies import ExistingTools
from iecpod.providers.existing.description import Description, describe
from iecpod.providers.existing.first_login import open_shell
from iecpod.providers.existing.node_facts import NodeFacts, gather_facts
from iecpod.providers.existing.nodes import MetMachines
from iecpod.providers.existing.refused_logins import attempt_on_nodes, login_problems


def describe_machines(tools: ExistingTools, addresses: Sequence[IPv4Address], user: str) -> Description:
    """The first is the control plane. Their host keys are kept under the names that they get; known ones keep theirs.

    A machine that cannot be looked at is among `tools.refused`, so that the preflight of what is described reports it
    with all else. Raises `PreflightError` where that is every machine.
    """
    met = MetMachines(tools)
    known = known_machines(tools)
    by_name = {known.get(address, str(address)): address for address in addresses}
    refused = met.meet(by_name, user, keep=False)

    def look(name: str) -> NodeFacts:
        shell = open_shell(tools, met.endpoints((name,))[name])
        try:
            return gather_facts(shell, tools.wall_time)
        finally:
            shell.close()

    found, silent = attempt_on_nodes([name for name in by_name if name not in refused], look)
    refused |= silent
    if not found:
        raise PreflightError(login_problems(refused), "these machines cannot be a POD; nothing was changed")
    facts = {by_name[name]: facts for name, facts in found.items()}
    description = describe(tools.run.ref, addresses, facts, known)
    names = dict(zip(by_name, description.names, strict=True))
    met.rename(names)
    met.keep()
    tools.refused.update({names[name]: error for name, error in refused.items()})
    return description


def known_machines(tools: ExistingTools) -> dict[IPv4Address, str]:
    """Names of the POD's machines by their addresses, of those that a deploy has changed."""
    return {IPv4Address(met.address): name for name, met in MetMachines(tools).all().items() if met.is_changed}
