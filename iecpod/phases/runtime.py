"""Container runtime and Kubernetes' own binaries: there in a baked image, installed with apt otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iecpod.design.pace import Pace
from iecpod.design.release import AptRepository, Release
from iecpod.design.supply import Supply
from iecpod.errors import IecpodError, NodeError
from iecpod.phases.parallel import run_on_nodes
from iecpod.ports import Reporter, Shell
from iecpod.render.node_files import (
    TIMER_SLACK_NS,
    key_ring,
    render_apt_source,
    render_calm_units,
    render_node_files,
)
from iecpod.render.supply_files import render_runtime_files

_INSTALL_SECONDS = 900.0
_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes", "--no-install-recommends")

#: Threads and processes take the slack of the thread that makes them.
_SET_SLACK = """
for task in "/proc/$(systemctl show --property=MainPID --value "$1")"/task/*; do
    echo "$2" > "/proc/${task##*/}/timerslack_ns"
done
"""


@dataclass(frozen=True, slots=True)
class RuntimePhase:
    """`fetch_key` returns the signing key of a repository; it is fetched once, by this host, and not by each node."""

    release: Release
    supply: Supply
    shells: Mapping[str, Shell]
    fetch_key: Callable[[AptRepository], bytes]
    pace: Pace
    reporter: Reporter
    name: str = "runtime"
    summary: str = "container runtime, kubeadm, kubelet and kubectl on every node"

    def probe(self) -> str | None:
        try:
            run_on_nodes(tuple(self.shells), self._check)
        except IecpodError:
            return None
        return f"{self.release.runtime}, Kubernetes {self.release.kubernetes_version}"

    def run(self) -> None:
        keys = {repository.name: self.fetch_key(repository) for repository in self.release.repositories}
        run_on_nodes(tuple(self.shells), lambda hostname: self._prepare(hostname, keys))

    def _check(self, hostname: str) -> None:
        shell = self.shells[hostname]
        version = shell.run(["kubeadm", "version", "--output=short"]).stdout.strip().removeprefix("v")
        if version != self.release.kubernetes_version:
            raise NodeError(hostname, f"kubeadm is {version}, not {self.release.kubernetes_version}")
        shell.run(["systemctl", "is-active", "--quiet", self.release.runtime])
        for path, text in render_runtime_files(self.release, self.supply).items():
            if shell.run(["cat", path], check=False).stdout != text:
                raise NodeError(hostname, f"{path} is not as wanted")
        if self.pace.calm:
            shell.run(["ls", *render_calm_units(self.release)])

    def _prepare(self, hostname: str, keys: Mapping[str, bytes]) -> None:
        shell = self.shells[hostname]
        if self.release.packages:
            self._install(hostname, shell, keys)
        shell.run(["systemctl", "enable", "--now", self.release.runtime])
        self._lead_to_mirrors(shell)
        if self.pace.calm:
            self._let_nap(shell)

    def _lead_to_mirrors(self, shell: Shell) -> None:
        files = render_runtime_files(self.release, self.supply)
        for path, text in files.items():
            shell.write_file(path, text.encode())
        if files:
            shell.run(["systemctl", "daemon-reload"])
            shell.run(["systemctl", "restart", self.release.runtime])

    def _let_nap(self, shell: Shell) -> None:
        """The runtime runs already; a restart would take minutes of what this is to save. kubeadm reloads the units."""
        shell.run(["sh", "-c", _SET_SLACK, "slack", self.release.runtime, str(TIMER_SLACK_NS)])
        for path, text in render_calm_units(self.release).items():
            shell.write_file(path, text.encode())

    def _install(self, hostname: str, shell: Shell, keys: Mapping[str, bytes]) -> None:
        for repository in self.release.repositories:
            source = render_apt_source(repository)
            shell.write_file(source.key_path, key_ring(keys[repository.name]))
            shell.write_file(source.path, source.text.encode())
        self.reporter.progress("installing packages", hostname)
        seconds = self.pace.seconds(_INSTALL_SECONDS)
        shell.run([*_APT, "update"], timeout_seconds=seconds)
        shell.run([*_APT, "install", *self.release.packages], timeout_seconds=seconds)
        shell.run(["apt-mark", "hold", "kubeadm", "kubelet", "kubectl"])
        for path, text in render_node_files(self.release).items():
            shell.write_file(path, text.encode())
        shell.run(["swapoff", "--all"])
        shell.run(["systemctl", "restart", "systemd-modules-load"])
        shell.run(["sysctl", "--system"])
        shell.run(["systemctl", "restart", self.release.runtime])
