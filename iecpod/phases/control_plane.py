"""The first control plane node, by `kubeadm init`."""

from __future__ import annotations

from dataclasses import dataclass

from iecpod.design.cluster import DesiredCluster
from iecpod.design.pace import Pace
from iecpod.phases.bootstrap_token import make_token
from iecpod.phases.kubectl import ADMIN_CONF, Kubectl
from iecpod.phases.node_job import is_job_running, run_job
from iecpod.ports import Clock, Shell
from iecpod.render.kubeadm import cri_socket, render_init_config

_CONFIG = "/etc/kubernetes/iecpod-init.yaml"
_UNIT = "iecpod-kubeadm-init.service"
_INIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class ControlPlanePhase:
    cluster: DesiredCluster
    shell: Shell
    pace: Pace
    clock: Clock
    name: str = "control-plane"
    summary: str = "kubeadm init on the first node"

    def probe(self) -> str | None:
        """The add-on phase is kubeadm's last: where kube-proxy is, init has come to its end."""
        if self.shell.run(["test", "-e", ADMIN_CONF], check=False).returncode != 0:
            return None
        if is_job_running(self.shell, _UNIT):
            return None
        found = Kubectl(self.shell).find("--namespace=kube-system", "daemonset/kube-proxy")
        return f"API server at {self.cluster.api_endpoint}" if found else None

    def run(self) -> None:
        if not is_job_running(self.shell, _UNIT):
            self._clear_failed_init()
            config = render_init_config(
                self.cluster, token=make_token(), timeout_seconds=self.pace.seconds(_INIT_SECONDS)
            )
            self.shell.write_file(_CONFIG, config.encode(), 0o600)
        try:
            run_job(
                self.shell,
                _UNIT,
                [
                    "kubeadm",
                    "init",
                    f"--config={_CONFIG}",
                    "--skip-token-print",
                    *preflight_flags(self.cluster),
                    *_skipped_phases(self.cluster),
                ],
                timeout_seconds=self.pace.seconds(_INIT_SECONDS),
                clock=self.clock,
                remedy="run deploy again: it starts kubeadm init afresh on the same VM",
            )
        finally:
            self.shell.run(["rm", "-f", _CONFIG], check=False)

    def _clear_failed_init(self) -> None:
        """An init that broke off leaves manifests and certificates, over which kubeadm refuses to start."""
        if self.shell.run(["test", "-e", "/etc/kubernetes/manifests"], check=False).returncode == 0:
            reset_node(self.shell, self.cluster)


def reset_node(shell: Shell, cluster: DesiredCluster) -> None:
    """`kubeadm reset`: the node is as before init or join; pods of the host network are stopped."""
    shell.run(["kubeadm", "reset", "--force", f"--cri-socket={cri_socket(cluster)}"], timeout_seconds=900)


def preflight_flags(cluster: DesiredCluster) -> list[str]:
    """kubeadm's flags for the checks of its own that cannot pass with this release."""
    checks = cluster.release.ignored_preflight_checks
    return ["--ignore-preflight-errors=" + ",".join(checks)] if checks else []


def _skipped_phases(cluster: DesiredCluster) -> list[str]:
    """Without CoreDNS its add-on, and preflight: that pulls the add-on's image all the same, for minutes and in vain."""
    return [] if cluster.release.coredns else ["--skip-phases=preflight,addon/coredns"]
