"""Long commands on a node, run by its systemd: they survive a cut connection and a killed iecpod."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from iecpod.deploy.node.node_poll import look
from iecpod.deploy.waiting.console import last_line
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.errors import CommandFailed, NodeError
from iecpod.ports import Shell
from iecpod.wait import NotYet

#: Starts the job unless it runs. Arguments: the unit, then the command.
START = """
unit=$1
shift
case $(systemctl is-active "$unit") in
    activating) exit 0 ;;
    inactive | failed) ;;
    *) echo "systemd does not say whether $unit runs" >&2; exit 1 ;;
esac
systemctl reset-failed "$unit" 2> /dev/null
exec systemd-run --unit="$unit" --service-type=oneshot --no-block --quiet -- "$@"
"""

#: Arguments: seconds, the unit. Prints `running` and the last line of its journal, or how the job has ended, and of one
#: that failed the end of its journal. Of a job that runs, systemd shows Result=success: it must have ended before. As
#: long as its process is there, systemd is not asked, which costs an emulated guest a tenth of a second each time.
WAIT = """
read -r now _ < /proc/uptime
end=$((${now%.*} + $1))
while :; do
    case $(systemctl is-active "$2") in
        activating) ;;
        inactive | failed) break ;;
        *) exit 1 ;;
    esac
    read -r now _ < /proc/uptime
    left=$((end - ${now%.*}))
    test "$left" -gt 0 || { echo running; journalctl --unit "$2" --lines 1 --output cat; exit; }
    process=$(systemctl show "$2" --property=MainPID --value)
    case $process in
        '' | 0 | *[!0-9]*) sleep 1 ;;
        *) timeout "$left" tail --follow --sleep-interval=0.5 --pid="$process" /dev/null ;;
    esac
done
ended=$(systemctl show "$2" --property=Result,ExecMainStatus) || exit
echo "$ended"
case "$ended" in *Result=success*) ;; *) journalctl --unit "$2" --lines 40 --output cat ;; esac
"""
_STATUS = re.compile("[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Ended:
    """`tail` is the end of the journal of a job that failed."""

    result: str
    returncode: int
    tail: str


def run_job(shell: Shell, unit: str, argv: Sequence[str], *, seconds: float, tools: PhaseTools, remedy: str) -> None:
    """Runs `argv` as the transient service `unit`, or waits for the one that runs already.

    `seconds` is its deadline with KVM. Raises `CommandFailed` with the last lines of its journal only where the job
    itself has failed, `WaitTimeout` when it takes too long (it continues).
    """
    started = shell.run(["sh", "-c", START, "start-job", unit, *argv], check=False)
    if started.returncode != 0:
        why = last_line(started.stderr or started.stdout) or f"exit status {started.returncode}"
        raise NodeError(shell.node, f"systemd has not started {unit}: {why}", tools.advice.resume)
    ended = _wait_for_job(shell, unit, seconds, tools, remedy)
    if ended.result != "success":
        raise CommandFailed(shell.node, argv, ended.returncode, ended.tail, f"{remedy}; {tools.advice.resume}")


def _wait_for_job(shell: Shell, unit: str, seconds: float, tools: PhaseTools, remedy: str) -> _Ended:
    def probe() -> _Ended:
        seen = look(shell, WAIT, unit, most_seconds=tools.deadlines.seconds(seconds))
        ended = _parse_end(seen.stdout)
        if ended is None:
            raise NotYet(last_line(seen.stdout or seen.stderr) or "no answer of systemd")
        return ended

    tools.reporter.waiting(unit, "", shell.node)  # the first look takes up to a minute
    return tools.waits.wait_for(unit, probe, seconds=seconds, node=shell.node, remedy=remedy)


def _parse_end(text: str) -> _Ended | None:
    """None of a job that runs, or of one that systemd says nothing of."""
    lines = text.split("\n")
    said = dict(line.split("=", 1) for line in lines[:2] if "=" in line)
    if said.keys() != {"Result", "ExecMainStatus"}:
        return None
    status = said["ExecMainStatus"]
    returncode = int(status) if _STATUS.fullmatch(status) else 1
    return _Ended(said["Result"], returncode, "\n".join(lines[2:]))
