"""From power on to a node that takes commands: console, SSH with the pinned key, cloud-init finished."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iecpod.design.pace import Pace
from iecpod.errors import IecpodError, NodeError, NodeUnreachable, WaitTimeout
from iecpod.phases.parallel import run_on_nodes
from iecpod.ports import Clock, Reporter, Shell
from iecpod.wait import NotYet, poll

_CLOUD_INIT_RESULT = "/run/cloud-init/result.json"
_SILENCE_SECONDS = 45.0
_SSH_SECONDS = 180.0
_CLOUD_INIT_SECONDS = 180.0
_KERNEL_SPOKE = "Linux version"


@dataclass(frozen=True, slots=True)
class ReachablePhase:
    """`read_console` returns what a node has printed on its serial console so far."""

    shells: Mapping[str, Shell]
    read_console: Callable[[str], str]
    pace: Pace
    clock: Clock
    reporter: Reporter
    name: str = "reachable"
    summary: str = "guests booted, SSH with pinned host keys, cloud-init finished"

    def probe(self) -> str | None:
        try:
            run_on_nodes(tuple(self.shells), self._check_booted)
        except IecpodError:
            return None
        return f"{len(self.shells)} nodes answer"

    def run(self) -> None:
        run_on_nodes(tuple(self.shells), self._wait_for_node)

    def _check_booted(self, hostname: str) -> None:
        self.shells[hostname].run(["test", "-e", _CLOUD_INIT_RESULT], timeout_seconds=120)

    def _wait_for_node(self, hostname: str) -> None:
        self._wait_for_kernel(hostname)
        self.reporter.progress("kernel is booting", hostname)
        self._wait_for_ssh(hostname)
        self.reporter.progress("answers to SSH", hostname)
        self._wait_for_cloud_init(hostname)
        self.reporter.progress("cloud-init finished", hostname)

    def _wait_for_kernel(self, hostname: str) -> None:
        """A KVM that is listed but runs no kernel hangs without a word, so silence is what is waited out here."""

        def probe() -> None:
            console = self.read_console(hostname)
            if _KERNEL_SPOKE not in console and not self._answers(hostname):
                raise NotYet(_last_line(console) or "the console is empty")

        poll(
            f"{hostname}: a kernel that prints to the serial console",
            probe,
            timeout_seconds=self.pace.seconds(_SILENCE_SECONDS),
            clock=self.clock,
            remedy="KVM may be listed here and still not run a kernel: try --virt-type qemu, or see `iecpod console`",
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
                console = _last_line(self.read_console(hostname))
                raise NotYet(f"{error.cause}; console: {console}") from error

        poll(
            f"{hostname}: SSH",
            probe,
            timeout_seconds=self.pace.seconds(_SSH_SECONDS),
            clock=self.clock,
            remedy="look at the guest with `iecpod console`; run deploy again to go on waiting",
        )

    def _wait_for_cloud_init(self, hostname: str) -> None:
        shell = self.shells[hostname]
        seconds = self.pace.seconds(_CLOUD_INIT_SECONDS)
        wait = f"until test -e {_CLOUD_INIT_RESULT}; do sleep 1; done; cat {_CLOUD_INIT_RESULT}"
        result = shell.run(["sh", "-c", wait], timeout_seconds=seconds)
        errors = json.loads(result.stdout)["v1"]["errors"]
        if errors:
            raise NodeError(
                hostname,
                "cloud-init failed: " + "; ".join(str(error) for error in errors),
                "read /var/log/cloud-init.log there with `iecpod ssh`",
            )


def _last_line(console: str) -> str:
    lines = [line.strip() for line in console.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
