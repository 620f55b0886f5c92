"""The first login to a node: whether root's commands can be run there, and the POD's key put where sshd looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iecpod.deploy.node.node_probe import node_awaited
from iecpod.deploy.waiting.node_times import NodeTimes
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.waits import Waits
from iecpod.errors import CommandFailed, LoginRefused, NodeError
from iecpod.ports import NodeEndpoint, Reporter, Shell
from iecpod.providers.existing.dependencies import ExistingTools
from iecpod.providers.existing.nodes import MetMachines
from iecpod.providers.existing.record import add_key, begin_record

_SECONDS = 120.0
_WITHOUT_PASSWORD = 'echo "{user} ALL=(ALL) NOPASSWD:ALL" | sudo tee /etc/sudoers.d/90-iecpod'

#: In sudo's words and the shell's, of one that does not let the user run commands as root, without asking.
_SUDO_SAYS = ("sudo:", "sudo: not found", "is not in the sudoers", "is not allowed to", "command not found")


def check_root(shell: Shell, user: str) -> None:
    """Raises `NodeError` with the remedy where commands cannot be run as root. Asked once: no password is sent."""
    try:
        shell.run(["true"], timeout_seconds=_SECONDS)
    except CommandFailed as error:
        said = (error.tail.strip().splitlines() or [f"exit status {error.returncode}"])[-1][:300]
        if any(word in said for word in _SUDO_SAYS):
            raise NodeError(
                shell.node,
                f"`sudo -n true` is refused to user {user}: {said}",
                "let it run commands as root without a password, as an administrator of that node: "
                f"`{_WITHOUT_PASSWORD.format(user=user)}`; or log in as root",
            ) from error
        raise


def open_shell(tools: ExistingTools, endpoint: NodeEndpoint) -> Shell:
    """By the POD's key where the node knows it, else by what was given to log in with. Only a node that refuses the
    key does not know it: silence, and a sudo that is refused, are raised.

    Raises `NodeUnreachable`, and `NodeError` as `check_root`.
    """
    if tools.pod_key.has_keys():
        shell = tools.pod_key.shell(endpoint)
        try:
            check_root(shell, endpoint.user)
            return shell
        except LoginRefused:
            shell.close()
        except BaseException:
            shell.close()
            raise
    shell = tools.access.first_shell(endpoint)
    try:
        check_root(shell, endpoint.user)
    except BaseException:
        shell.close()
        raise
    return shell


@dataclass(frozen=True, slots=True)
class LoginPhase:
    """Each node takes the POD's key. Its record is started first, since that is the first change."""

    tools: ExistingTools
    machines: MetMachines
    shells: Mapping[str, Shell]
    node_times: NodeTimes
    reporter: Reporter
    waits: Waits
    name: str = "reachable"
    summary: str = "login to the machines, each with the POD's key"

    def probe(self) -> str | None:
        met = self.machines.all()
        if not all(met[name].is_changed for name in self.shells):
            return None
        if not all(run_on_nodes(tuple(self.shells), self._takes_key).values()):
            return None
        return f"{len(self.shells)} nodes answer"

    def run(self) -> None:
        line = self.tools.pod_key.authorized_key()
        for hostname in self.shells:
            self.machines.note_changed(hostname)  # from here on, a teardown has to look there
        self.node_times.on_nodes(tuple(self.shells), lambda hostname: self._let_in(hostname, line))

    def _takes_key(self, hostname: str) -> bool:
        """A node that does not answer is waited for. Raises as `check_root`, and `WaitTimeout`."""
        shell, user = self.shells[hostname], self.machines.all()[hostname].user

        def probe() -> bool:
            try:
                with node_awaited(hostname):
                    check_root(shell, user)
            except LoginRefused:
                return False
            return True

        return self.waits.wait_for("SSH", probe, seconds=_SECONDS, node=hostname, interval_seconds=5.0)

    def _let_in(self, hostname: str, line: str) -> None:
        endpoint = self.machines.endpoints((hostname,))[hostname]
        shell = open_shell(self.tools, endpoint)
        try:
            begin_record(shell, self.tools.run.owner)
            add_key(shell, endpoint.user, line)
        finally:
            shell.close()
        check_root(self.shells[hostname], endpoint.user)
        self.reporter.progress("takes the POD's key", hostname)
