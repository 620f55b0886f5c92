"""Long commands on a node, run by its systemd: they survive a cut connection and a killed iecpod."""

from __future__ import annotations

from collections.abc import Sequence

from iecpod.errors import CommandFailed, NodeUnreachable
from iecpod.ports import Clock, Shell
from iecpod.wait import NotYet, poll

_TAIL_LINES = "40"


def is_job_running(shell: Shell, unit: str) -> bool:
    return shell.run(["systemctl", "is-active", unit], check=False).stdout.strip() == "activating"


def run_job(shell: Shell, unit: str, argv: Sequence[str], *, timeout_seconds: float, clock: Clock, remedy: str) -> None:
    """Runs `argv` as the transient service `unit`, or waits for the one that runs already.

    Raises `CommandFailed` with the last lines of its journal, `WaitTimeout` when it takes too long (it goes on).
    """
    if not is_job_running(shell, unit):
        shell.run(["systemctl", "reset-failed", unit], check=False)
        shell.run(["systemd-run", f"--unit={unit}", "--service-type=oneshot", "--no-block", "--quiet", "--", *argv])
    _wait_for_job(shell, unit, timeout_seconds, clock, remedy)
    shown = shell.run(["systemctl", "show", unit, "--property=Result,ExecMainStatus"]).stdout
    properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if properties.get("Result") != "success":
        tail = shell.run(["journalctl", "--unit", unit, "--lines", _TAIL_LINES, "--output", "cat"], check=False).stdout
        raise CommandFailed(shell.node, argv, int(properties.get("ExecMainStatus", "1")), tail, remedy)


def _wait_for_job(shell: Shell, unit: str, timeout_seconds: float, clock: Clock, remedy: str) -> None:
    # The loop runs on the node, so a wait costs one SSH command and not one a second.
    loop = f'while [ "$(systemctl is-active {unit})" = activating ]; do sleep 1; done'

    def probe() -> None:
        try:
            shell.run(["sh", "-c", loop], timeout_seconds=timeout_seconds)
        except NodeUnreachable as error:
            raise NotYet(error.cause) from error

    poll(f"{shell.node}: {unit}", probe, timeout_seconds=timeout_seconds, clock=clock, remedy=remedy)
