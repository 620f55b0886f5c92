"""Looks at a node that last: the loop runs on the node, so a wait costs one SSH command a minute, not one a second."""

from __future__ import annotations

from iecpod.errors import NodeUnreachable, WaitTimeout
from iecpod.ports import CommandResult, Shell
from iecpod.wait import NotYet

_LOOK_SECONDS = 60
#: More than a look may take on a guest that is busy: to log in, to start a shell.
_LATE_SECONDS = 120.0


def look(shell: Shell, script: str, *arguments: str, most_seconds: float) -> CommandResult:
    """Runs a script that ends at the latest after `$1` seconds, which are `most_seconds` or a minute.

    Raises `NotYet` where the connection is cut or the node does not answer in time.
    """
    seconds = max(1, min(_LOOK_SECONDS, int(most_seconds)))
    argv = ["sh", "-c", script, "look", str(seconds), *arguments]
    try:
        return shell.run(argv, timeout_seconds=seconds + _LATE_SECONDS, check=False)
    except (NodeUnreachable, WaitTimeout) as error:
        raise NotYet(error.cause.removeprefix(f"{shell.node}: ")) from error
