"""What a node has: in place, missing, or unknown, which is waited for and never acted upon.

Only what a script prints counts. An exit status of 1 may also be sudo's, and an empty output that of a systemd whose
bus does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from iecpod.deploy.waiting.console import last_line
from iecpod.deploy.waiting.waits import Waits
from iecpod.errors import HostKeyMismatch, LoginRefused, NodeUnreachable, WaitTimeout
from iecpod.ports import Shell
from iecpod.wait import NotYet

T = TypeVar("T")

#: For how long a node may not answer before that is an error.
_AWAY_SECONDS = 60.0
_INTERVAL_SECONDS = 5.0
_ASK_SECONDS = 120.0

#: Every ActiveState of systemd (org.freedesktop.systemd1(5)). Without an answer, `is-active` prints none or `unknown`.
UNIT_STATES = frozenset(
    ("active", "reloading", "refreshing", "inactive", "failed", "activating", "deactivating", "maintenance")
)

#: Shell: fails with 1 for a unit that is certain not to be active, with 2 where systemd does not say.
IS_ACTIVE = """
is_active() {
    case $(systemctl is-active "$1") in
        active | reloading | refreshing) return 0 ;;
        inactive | failed | activating | deactivating | maintenance) return 1 ;;
        *) return 2 ;;
    esac
}
"""
_IN_PLACE, _MISSING = "probe=in-place", "probe=missing"


def probe_script(check: str) -> str:
    """A shell script that says how `check` ends, which runs under `set -eu`: 0 is in place, 1 is missing.

    Any other status is that of a program that could not look, and nothing is printed for it.
    """
    return f"""(
set -eu
{check}
) > /dev/null
case $? in
    0) echo {_IN_PLACE} ;;
    1) echo {_MISSING} ;;
esac
"""


def read_probe(printed: str) -> bool | None:
    """Whether it is in place; None where the output of `probe_script` is anything else."""
    return {f"{_IN_PLACE}\n": True, f"{_MISSING}\n": False}.get(printed)


@contextmanager
def node_awaited(node: str) -> Iterator[None]:
    """For probes of waits: a node that does not answer may answer yet (`NotYet`).

    One that refuses the login, or shows another host key, has answered: that is raised.
    """
    try:
        yield
    except (LoginRefused, HostKeyMismatch):
        raise
    except (NodeUnreachable, WaitTimeout) as error:
        raise NotYet(error.cause.removeprefix(f"{node}: ")) from error


def await_answer(
    node: str,
    waits: Waits,
    look: Callable[[], T],
    *,
    seconds: float = _AWAY_SECONDS,
    interval_seconds: float = _INTERVAL_SECONDS,
    remedy: str = "",
) -> T:
    """What `look` returns; a node that does not answer is waited for. Raises `WaitTimeout`."""

    def probe() -> T:
        with node_awaited(node):
            return look()

    return waits.wait_for(
        "an answer of the node", probe, seconds=seconds, node=node, remedy=remedy, interval_seconds=interval_seconds
    )


def ask(
    shell: Shell,
    waits: Waits,
    script: str,
    *arguments: str,
    read: Callable[[str], T | None],
    timeout_seconds: float = _ASK_SECONDS,
) -> T:
    """What `read` makes of the script's output; it returns None for output that is no answer.

    The script must not change anything: it runs again until there is an answer. Raises `WaitTimeout` without one.
    """

    def look() -> T:
        result = shell.run(["sh", "-c", script, "probe", *arguments], timeout_seconds=timeout_seconds, check=False)
        found = read(result.stdout) if result.returncode == 0 else None
        if found is None:
            seen = last_line(result.stderr) or last_line(result.stdout) or "nothing"
            raise NotYet(f"it does not say what it has, but (exit status {result.returncode}): {seen}")
        return found

    return await_answer(shell.node, waits, look, remedy="see what it runs with `iecpod ssh`")


def is_in_place(shell: Shell, waits: Waits, check: str, *arguments: str) -> bool:
    """As `ask`, with `check` as that of `probe_script`."""
    return ask(shell, waits, probe_script(check), *arguments, read=read_probe)
