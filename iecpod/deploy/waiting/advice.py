"""What an error of a wait or a node is shown with: the end of a console, and what to run next."""

from __future__ import annotations

from collections.abc import Callable

from iecpod.deploy.waiting.console import console_tail
from iecpod.errors import GuestStopped, HypervisorUnavailable, IecpodError, NodeUnreachable, WaitTimeout

_SHOWN_WITH_THE_CONSOLE = (WaitTimeout, NodeUnreachable, GuestStopped, HypervisorUnavailable)


class Advice:
    """`command(verb, *arguments)` is a command line for the run's POD.

    `read_console` returns what a node has printed on its serial console so far, and is None where nodes have none.
    """

    def __init__(self, command: Callable[..., str], read_console: Callable[[str], str] | None) -> None:
        self.command = command
        self._read_console = read_console

    @property
    def resume(self) -> str:
        return f"resume with `{self.command('deploy')}`"

    def explain(self, error: IecpodError, node: str = "") -> None:
        """Adds what to run next to an error of what did not come, or went away; of a node also its console's end."""
        if error.evidence or self.resume in error.remedy or not isinstance(error, _SHOWN_WITH_THE_CONSOLE):
            return
        hints = [error.remedy, self.resume]
        if node and self._read_console is not None:
            error.evidence = console_tail(node, self._read_console(node))
            hints.insert(1, f"look at the guest with `{self.command('console', node)}`")
        elif node:
            hints.insert(1, f"log in with `{self.command('ssh', node)}`, or at the machine itself")
        error.remedy = "; ".join(hint for hint in hints if hint)
