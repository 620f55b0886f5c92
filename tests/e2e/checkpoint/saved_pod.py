"""A POD with work that shows which instant it was saved at."""

from __future__ import annotations

import base64
import datetime
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509

from tests.e2e.command import HOSTNAMES, Iecpod

#: Counts once a second and writes it down, on each node, from the first save on.
_COUNT = (
    "n=0; while :; do n=$((n + 1)); echo $n > /var/tmp/count.new; mv /var/tmp/count.new /var/tmp/count; sleep 1; done"
)
_IMAGE = "registry.iecpod.internal/nginx:debian"


@dataclass(frozen=True)
class SavedPod:
    command: Iecpod

    def start_work(self) -> None:
        for node in HOSTNAMES:
            self.command.on_node(node, "sudo", "systemd-run", "--unit=iecpod-test-count", "sh", "-c", _COUNT)
        self.command.kubectl("create", "deployment", "work", f"--image={_IMAGE}", "--replicas=2")
        self.command.kubectl("rollout", "status", "deployment/work", "--timeout=600s")

    def counts(self) -> dict[str, int]:
        return {node: int(self.command.on_node(node, "cat", "/var/tmp/count")) for node in HOSTNAMES}

    def boots(self) -> dict[str, str]:
        return {node: self.command.on_node(node, "cat", "/proc/sys/kernel/random/boot_id") for node in HOSTNAMES}

    def seconds_off(self) -> dict[str, float]:
        return {node: self.command.seconds_off(node) for node in HOSTNAMES}

    def workers_of(self, deployment: str) -> set[tuple[str, int]]:
        """Pods by their uid, with the restarts of their container."""
        return {
            (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
            for pod in self.command.get("pods", "-l", f"app={deployment}")["items"]
        }

    def ready_nodes(self) -> set[str]:
        return {
            node["metadata"]["name"]
            for node in self.command.get("nodes")["items"]
            if any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])
        }

    def certificate_days(self) -> int:
        """For how long the administrator's certificate on this host is valid."""
        kubeconfig = yaml.safe_load((self.command.pod_dir / "kubeconfig").read_text())
        pem = base64.b64decode(kubeconfig["users"][0]["user"]["client-certificate-data"])
        left = x509.load_pem_x509_certificate(pem).not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
        return left.days

    def kubelet_certificates(self) -> dict[str, str]:
        """A digest by node."""
        pem = "/var/lib/kubelet/pki/kubelet-client-current.pem"
        return {node: self.command.on_node(node, "sudo", "sha256sum", pem).split()[0] for node in HOSTNAMES}

    def verify_anew(self) -> None:
        """All paths between pods, nodes and services, as a deploy checks them."""
        self.command.kubectl("-n", "kube-system", "delete", "configmap", "iecpod-verified")
        self.command.check("deploy")
        outcomes = {phase["name"]: phase["outcome"] for phase in self.command.report()["phases"]}
        assert {name for name, outcome in outcomes.items() if outcome == "done"} == {"verify"}

    def checkpoint(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.command.run(f"checkpoint {verb}", *arguments, timeout=1200)

    def verify(self, *checkpoints: str) -> int:
        """The exit status; without any, all are verified."""
        return self.command.run_for_all("checkpoint verify", *checkpoints).returncode

    def start(self, verb: str, *arguments: str) -> subprocess.Popen[bytes]:
        argv = self.command.argv(f"checkpoint {verb}", *arguments)
        return subprocess.Popen(argv, env=self.command.environ, stderr=subprocess.PIPE)

    def kill_when(self, process: subprocess.Popen[bytes], printed: str) -> None:
        """With SIGKILL, as soon as it prints that."""
        assert process.stderr is not None
        for line in process.stderr:
            if printed in line.decode():
                break
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"it ended before {printed!r}"

    def directory(self, checkpoint_id: str) -> Path:
        return self.command.cache_dir / "checkpoints" / "saved" / checkpoint_id
