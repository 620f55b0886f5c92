"""From power on to a node that takes commands: console, SSH with the pinned key, cloud-init finished."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from iecpod.deploy.node.node_poll import look
from iecpod.deploy.waiting.console import last_line, telling_line
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.errors import IecpodError, NodeError, NodeUnreachable, WaitTimeout
from iecpod.outside_json import Bounds, parse_json
from iecpod.ports import Shell
from iecpod.wait import NotYet

_CLOUD_INIT_RESULT = "/run/cloud-init/result.json"
_SILENCE_SECONDS = 45.0
_SSH_SECONDS = 180.0
_CLOUD_INIT_SECONDS = 180.0
_RESULT_BOUNDS = Bounds(size_bytes=1 << 20)
_KERNEL_SPOKE = "Linux version"

#: Seconds from boot to the end of cloud-init, by the guest's clock.
_BOOT_SECONDS = f"""
read -r up _ < /proc/uptime
echo $(( ${{up%.*}} - $(date +%s) + $(stat --format=%Y {_CLOUD_INIT_RESULT}) ))
"""
_MEASURE = f"test -e {_CLOUD_INIT_RESULT} || exit 1{_BOOT_SECONDS}"
_WAIT = f"""
left=$1
until test -e {_CLOUD_INIT_RESULT}; do
    test "$left" -gt 0 || {{ tail -n 1 /var/log/cloud-init-output.log; exit 1; }}
    left=$((left - 1))
    sleep 1
done{_BOOT_SECONDS}cat {_CLOUD_INIT_RESULT}
"""


@dataclass(frozen=True, slots=True)
class ReachablePhase:
    shells: Mapping[str, Shell]
    tools: PhaseTools
    name: str = "reachable"
    summary: str = "guests booted, SSH with pinned host keys, cloud-init finished"

    def probe(self) -> str | None:
        try:
            run_on_nodes(tuple(self.shells), self._check_booted)
        except IecpodError:
            return None
        return f"{len(self.shells)} nodes answer"

    def run(self) -> None:
        self.tools.node_times.on_nodes(tuple(self.shells), self._wait_for_node)

    def _check_booted(self, hostname: str) -> None:
        booted = self.shells[hostname].run(["sh", "-c", _MEASURE], timeout_seconds=120)
        self._measure(hostname, booted.stdout)

    def _wait_for_node(self, hostname: str) -> None:
        self._wait_for_kernel(hostname)
        self.tools.reporter.progress("kernel is booting", hostname)
        self._wait_for_ssh(hostname)
        self.tools.reporter.progress("answers to SSH", hostname)
        self._wait_for_cloud_init(hostname)
        self.tools.reporter.progress("cloud-init finished", hostname)

    def _wait_for_kernel(self, hostname: str) -> None:
        """A KVM that is listed but runs no kernel hangs without a word, so silence is what is waited out here."""

        def probe() -> None:
            console = self.tools.read_console(hostname)
            if _KERNEL_SPOKE not in console and not self._answers(hostname):
                raise NotYet(last_line(console) or "the console is empty")

        self.tools.waits.wait_for(
            "a kernel that prints to the serial console",
            probe,
            seconds=_SILENCE_SECONDS,
            node=hostname,
            remedy="KVM may be listed here and still not run a kernel: try --virt-type qemu",
        )

    def _answers(self, hostname: str) -> bool:
        try:
            self.shells[hostname].run(["true"], timeout_seconds=5)
        except IecpodError:
            return False
        return True

    def _wait_for_ssh(self, hostname: str) -> None:
        def probe() -> None:
            try:
                self.shells[hostname].run(["true"], timeout_seconds=60)
            except (NodeUnreachable, WaitTimeout) as error:
                console = telling_line(self.tools.read_console(hostname))
                raise NotYet(f"{error.cause.removeprefix(f'{hostname}: ')}; console: {console}") from error

        self.tools.waits.wait_for("SSH", probe, seconds=_SSH_SECONDS, node=hostname)

    def _wait_for_cloud_init(self, hostname: str) -> None:
        def probe() -> str:
            seen = look(self.shells[hostname], _WAIT, most_seconds=self.tools.deadlines.seconds(_CLOUD_INIT_SECONDS))
            if seen.returncode != 0:
                raise NotYet(last_line(seen.stdout or seen.stderr) or "cloud-init has printed nothing")
            return seen.stdout

        text = self.tools.waits.wait_for("the end of cloud-init", probe, seconds=_CLOUD_INIT_SECONDS, node=hostname)
        boot_seconds, _, result = text.partition("\n")
        self._measure(hostname, boot_seconds)
        outcome = parse_json(result, lambda why: _odd(hostname, f"{_CLOUD_INIT_RESULT}: {why}"), _RESULT_BOUNDS)
        errors = outcome.at("v1").entries("errors")
        if errors:
            raise NodeError(
                hostname,
                "cloud-init failed: " + "; ".join(str(error.value) for error in errors),
                "read /var/log/cloud-init.log there with `iecpod ssh`",
            )

    def _measure(self, hostname: str, boot_seconds: str) -> None:
        """Whole seconds, as the node's shell computes them."""
        if not re.fullmatch(r"-?[0-9]{1,9}", boot_seconds.strip(), re.ASCII):
            raise _odd(hostname, f"{boot_seconds[:80]!r} is no time of boot")
        deadlines, seconds = self.tools.deadlines, float(boot_seconds)
        if deadlines.extend_for_boot(seconds):
            factor = deadlines.factor
            self.tools.reporter.progress(
                f"took {seconds:.0f} s to boot: deadlines are {factor:.1f} times KVM's", hostname
            )


def _odd(hostname: str, why: str) -> NodeError:
    return NodeError(hostname, f"it answers with something unexpected: {why}", "see what it runs with `iecpod ssh`")
