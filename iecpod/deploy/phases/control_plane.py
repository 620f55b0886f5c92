"""The first control plane node, by `kubeadm init`."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.deploy.kubectl.bootstrap_token import make_token
from iecpod.deploy.kubectl.kubectl import KUBE_SYSTEM, NO_ANSWER, Kubectl, KubectlAt, api_awaited
from iecpod.deploy.node.clean_up import cleaned_up
from iecpod.deploy.node.node_probe import UNIT_STATES, ask
from iecpod.deploy.node.systemd_job import run_job
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import CommandFailed, WaitTimeout
from iecpod.ports import Shell
from iecpod.render.kubeadm import cri_socket, render_init_config
from iecpod.render.kubeconfig import ADMIN_CONF
from iecpod.render.low_overhead import PATCHES_DIR, has_plain_init, render_patches

_CONFIG = "/etc/kubernetes/iecpod-init.yaml"
_MANIFESTS = "/etc/kubernetes/manifests"
_UNIT = "iecpod-kubeadm-init.service"
_INIT_SECONDS = 300.0
#: What the node has of a control plane, in one command. Arguments: admin.conf, the directory of manifests, the unit.
LOOK = """
said() { if test -e "$2"; then echo "$1=yes"; else echo "$1=no"; fi; }
said admin.conf "$1"
said manifests "$2"
said kube-scheduler.yaml "$2/kube-scheduler.yaml"
echo "job=$(systemctl is-active "$3")"
exit 0
"""
_LOOKED = re.compile(
    r"admin\.conf=(yes|no)\nmanifests=(yes|no)\nkube-scheduler\.yaml=(yes|no)\njob=([a-z]+)\n", re.ASCII
)
#: One command, since each costs an emulated guest a second. Arguments: the directory, then name and text of each file.
_WRITE_PATCHES = """
mkdir -p "$1"
cd "$1"
shift
while test $# -gt 0; do
    printf %s "$2" > "$1"
    shift 2
done
"""
_RESTART_SECONDS = 120.0
_KUBE_PROXY = f"/apis/apps/v1/{KUBE_SYSTEM}/daemonsets/kube-proxy"

#: Both end and restart for as long as the API server does not answer, which keeps it from doing so. In versions without
#: a plain init they are started after it.
_CLIENTS_OF_API_SERVER = ("controller-manager", "scheduler")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the node has; `job` is the state of the unit of `kubeadm init`, in systemd's words."""

    files: frozenset[str]
    job: str

    @classmethod
    def parse(cls, printed: str) -> _Seen | None:
        """None where it is not, in full, what `LOOK` prints."""
        found = _LOOKED.fullmatch(printed)
        if found is None or found[4] not in UNIT_STATES:
            return None
        said = dict(zip(("admin.conf", "manifests", "kube-scheduler.yaml"), found.groups(), strict=False))
        return cls(frozenset(name for name, word in said.items() if word == "yes"), found[4])

    @property
    def is_all_written(self) -> bool:
        """The scheduler's manifest is the last that kubeadm writes."""
        return self.files >= {"admin.conf", "kube-scheduler.yaml"}

    @property
    def is_made(self) -> bool:
        """An init has ended well, once."""
        return self.is_all_written and self.job not in ("activating", "failed")


@dataclass(frozen=True, slots=True)
class ControlPlanePhase:
    """`admin_conf` is forgotten when it may change; whoever asks the API server may have it from there."""

    cluster: DesiredCluster
    shell: Shell
    tools: PhaseTools
    admin_conf: AdminConf
    kubectl_at: KubectlAt = Kubectl
    name: str = "control-plane"
    summary: str = "kubeadm init on the first node"

    def probe(self) -> str | None:
        """The add-on phase is kubeadm's last, and the scheduler what starts last: where both are, init has ended."""
        seen = self._look()
        if not seen.is_all_written or seen.job == "activating":
            return None
        try:
            found = self._kubectl.find(_KUBE_PROXY)
        except NO_ANSWER:
            return None  # `run` waits for an API server that was there before
        return f"API server at {self.cluster.api_endpoint}" if found else None

    def run(self) -> None:
        self.tools.node_times.on_nodes((self.shell.node,), self._init_or_go_on)

    @property
    def _kubectl(self) -> Kubectl:
        return self.kubectl_at(self.shell)

    def _look(self) -> _Seen:
        """Raises `WaitTimeout` where the node does not say it."""
        return ask(self.shell, self.tools.waits, LOOK, ADMIN_CONF, _MANIFESTS, _UNIT, read=_Seen.parse)

    def _init_or_go_on(self, _hostname: str) -> None:
        seen = self._look()
        if seen.is_made:
            self._await_api_server()
            if self._kubectl.find_awaited(_KUBE_PROXY, self.tools.waits):
                return
        with cleaned_up(self._remove_config):
            if seen.is_made:
                self._repair()
            else:
                self._init_twice(seen)

    def _await_api_server(self) -> None:
        """A cluster that was made is never reset: where its API server is away, as after a restart, it is awaited."""

        def probe() -> None:
            with api_awaited():
                self._ask_api_server()

        self.tools.waits.wait_for(
            "the API server of the cluster that was made",
            probe,
            seconds=_RESTART_SECONDS,
            node=self.shell.node,
            interval_seconds=5.0,
            remedy=f"`{self.tools.advice.command('redeploy')}` recreates the cluster, where it is not worth repairing",
        )

    def _repair(self) -> None:
        """The API server has answered, and lacks what kubeadm adds last. However this ends, nothing is reset, not even
        later: a unit that stays failed is that of an init that broke off.
        """
        try:
            self._init(is_running=False, is_resumed=True, is_begun=True)
        except CommandFailed:
            self.shell.run(["systemctl", "reset-failed", _UNIT], check=False)
            raise

    def _init_twice(self, seen: _Seen) -> None:
        """Without an admin.conf there is no API server that could answer."""
        try:
            is_resumed = "admin.conf" in seen.files and self._api_server_comes(seen.job)
            self._init(is_running=seen.job == "activating", is_resumed=is_resumed, is_begun="manifests" in seen.files)
        except CommandFailed as first:
            # kubeadm gives single requests ten seconds. What it has made by then stays true.
            if not self._api_server_answers():
                raise
            self.tools.reporter.warn(f"{first.cause}\n{self.shell.node}: continuing kubeadm init")
            self._init(is_running=False, is_resumed=True, is_begun=True)

    def _remove_config(self, seconds: float) -> None:
        self.shell.run(["rm", "-f", _CONFIG], timeout_seconds=seconds, check=False)

    def _init(self, *, is_running: bool, is_resumed: bool, is_begun: bool) -> None:
        self.admin_conf.forget()
        if not is_running:
            if is_begun and not is_resumed:
                # An init that broke off leaves manifests and certificates, over which kubeadm refuses to start.
                reset_node(self.shell, self.cluster)
            if is_resumed:
                self._clear_corefile()
            seconds = self.tools.deadlines.seconds(_INIT_SECONDS)
            config = render_init_config(self.cluster, token=make_token(), timeout_seconds=seconds)
            self.shell.write_file(_CONFIG, config.encode(), 0o600)
            self._write_patches()
        run_job(
            self.shell,
            _UNIT,
            self._argv(is_resumed),
            seconds=_INIT_SECONDS,
            tools=self.tools,
            remedy="deploy resumes kubeadm init where the API server answers, else it starts over",
        )

    def _write_patches(self) -> None:
        patches = render_patches(self.cluster.release.kubernetes_version) if self.cluster.low_overhead else {}
        if patches:
            pairs = [word for name, text in patches.items() for word in (name, text)]
            self.shell.run(["sh", "-euc", _WRITE_PATCHES, "write-patches", PATCHES_DIR, *pairs])

    def _argv(self, is_resumed: bool) -> list[str]:
        skipped = _skipped_phases(self.cluster)
        if is_resumed:
            # kubeadm's own checks refuse what an earlier init has made.
            skipped = list(dict.fromkeys(["preflight", *skipped]))
        init = ["kubeadm", "init", f"--config={_CONFIG}", "--skip-token-print", *preflight_flags(self.cluster)]
        if not self.cluster.low_overhead or has_plain_init(self.cluster.release.kubernetes_version):
            return [*init, *_skip(skipped)]
        skipped += [f"control-plane/{client}" for client in _CLIENTS_OF_API_SERVER]
        later = [
            ["kubeadm", "init", "phase", "control-plane", client, f"--config={_CONFIG}"]
            for client in _CLIENTS_OF_API_SERVER
        ]
        return ["sh", "-c", " && ".join(shlex.join(step) for step in ([*init, *_skip(skipped)], *later))]

    def _clear_corefile(self) -> None:
        """kubeadm takes one that is there for an upgrade's, and refuses versions of CoreDNS that it does not know."""
        if self.cluster.release.coredns:
            self._kubectl.discard(f"/api/v1/{KUBE_SYSTEM}/configmaps/coredns")

    def _ask_api_server(self) -> None:
        """For what it keeps in etcd."""
        self._kubectl.load(f"/api/v1/{KUBE_SYSTEM}", timeout_seconds=60)

    def _api_server_comes(self, job: str) -> bool:
        """In a job that failed, kubeadm itself has waited for it; where the node was powered off, it may start yet."""
        if job in ("activating", "failed"):
            return self._api_server_answers()
        try:
            self._await_api_server()
        except WaitTimeout:
            return False
        return True

    def _api_server_answers(self) -> bool:
        try:
            self._ask_api_server()
        except NO_ANSWER:
            return False
        return True


def reset_node(shell: Shell, cluster: DesiredCluster) -> None:
    """`kubeadm reset`: the node is as before init or join; pods of the host network are stopped."""
    shell.run(["kubeadm", "reset", "--force", f"--cri-socket={cri_socket(cluster)}"], timeout_seconds=900)


def preflight_flags(cluster: DesiredCluster) -> list[str]:
    """kubeadm's flags for the checks of its own that cannot pass with this release."""
    checks = cluster.release.ignored_preflight_checks
    return ["--ignore-preflight-errors=" + ",".join(checks)] if checks else []


def _skipped_phases(cluster: DesiredCluster) -> list[str]:
    """Without CoreDNS its add-on, and preflight: that would pull the add-on's image all the same, for minutes."""
    return [] if cluster.release.coredns else ["preflight", "addon/coredns"]


def _skip(phases: list[str]) -> list[str]:
    return ["--skip-phases=" + ",".join(phases)] if phases else []
