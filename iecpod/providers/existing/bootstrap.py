"""From addresses to a described POD: each machine is met and looked at, and nothing is changed on it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.errors import PreflightError
from iecpod.providers.existing.dependencies import ExistingTools
from iecpod.providers.existing.description import Description, check_addresses, describe
from iecpod.providers.existing.first_login import open_shell
from iecpod.providers.existing.node_facts import NodeFacts, gather_facts
from iecpod.providers.existing.nodes import MetMachines


def describe_machines(tools: ExistingTools, addresses: Sequence[IPv4Address], user: str) -> Description:
    """The first is the control plane. Their host keys are kept under the names that they get; known ones keep theirs.

    Raises `NodeError` and its kin, `NodeErrors`, and `PreflightError` for machines that cannot be described.
    """
    met = MetMachines(tools)
    known = known_machines(tools)
    by_name = {known.get(address, str(address)): address for address in addresses}
    met.meet(by_name, user, keep=False)

    def look(name: str) -> NodeFacts:
        shell = open_shell(tools, met.endpoints((name,))[name])
        try:
            return gather_facts(shell, tools.wall_time)
        finally:
            shell.close()

    found = run_on_nodes(tuple(by_name), look)
    facts = {address: found[name] for name, address in by_name.items()}
    problems = check_addresses(facts)
    if problems:
        raise PreflightError(problems, "these machines cannot be a POD; nothing was changed")
    description = describe(tools.run.ref, facts, known)
    met.rename(dict(zip(by_name, description.names, strict=True)))
    met.keep()
    return description


def known_machines(tools: ExistingTools) -> dict[IPv4Address, str]:
    """Names of the POD's machines by their addresses, of those that a deploy has changed."""
    return {IPv4Address(met.address): name for name, met in MetMachines(tools).all().items() if met.is_changed}
