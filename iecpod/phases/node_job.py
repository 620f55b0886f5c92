"""Long commands on a node, run by its systemd: they survive a cut connection and a killed iecpod."""

from __future__ import annotations

import re
from collections.abc import Sequence

from iecpod.errors import CommandFailed
from iecpod.phases.node_look import look
from iecpod.ports import Shell
from iecpod.wait import NotYet
from iecpod.waiting.console import last_line
from iecpod.waiting.phase_tools import PhaseTools

_TAIL_LINES = "40"

#: Prints nothing when the job has ended.
_WAIT = """
left=$1
while [ "$(systemctl is-active "$2")" = activating ]; do
    test "$left" -gt 0 || { echo running; journalctl --unit "$2" --lines 1 --output cat; exit; }
    left=$((left - 1))
    sleep 1
done
"""


def job_state(shell: Shell, unit: str) -> str:
    """In systemd's words: `activating` runs, `failed` has failed.

    `inactive` has succeeded, or is of before the node was restarted: systemd forgets both.
    """
    return shell.run(["systemctl", "is-active", unit], check=False).stdout.strip()


def is_job_running(shell: Shell, unit: str) -> bool:
    return job_state(shell, unit) == "activating"


def run_job(shell: Shell, unit: str, argv: Sequence[str], *, seconds: float, tools: PhaseTools, remedy: str) -> None:
    """Runs `argv` as the transient service `unit`, or waits for the one that runs already.

    `seconds` is its deadline with KVM. Raises `CommandFailed` with the last lines of its journal, `WaitTimeout` when
    it takes too long (it goes on).
    """
    if not is_job_running(shell, unit):
        shell.run(["systemctl", "reset-failed", unit], check=False)
        shell.run(["systemd-run", f"--unit={unit}", "--service-type=oneshot", "--no-block", "--quiet", "--", *argv])
    _wait_for_job(shell, unit, seconds, tools, remedy)
    shown = shell.run(["systemctl", "show", unit, "--property=Result,ExecMainStatus"]).stdout
    properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if properties.get("Result") != "success":
        tail = shell.run(["journalctl", "--unit", unit, "--lines", _TAIL_LINES, "--output", "cat"], check=False).stdout
        status = properties.get("ExecMainStatus", "")
        returncode = int(status) if re.fullmatch("[0-9]{1,3}", status, re.ASCII) else 1
        raise CommandFailed(shell.node, argv, returncode, tail, f"{remedy}; {tools.advice.resume}")


def _wait_for_job(shell: Shell, unit: str, seconds: float, tools: PhaseTools, remedy: str) -> None:
    def probe() -> None:
        seen = look(shell, _WAIT, unit, most_seconds=tools.deadlines.seconds(seconds))
        if seen.stdout or seen.returncode != 0:
            raise NotYet(last_line(seen.stdout or seen.stderr))

    tools.reporter.waiting(unit, "", shell.node)  # the first look takes up to a minute
    tools.waits.wait_for(unit, probe, seconds=seconds, node=shell.node, remedy=remedy)
