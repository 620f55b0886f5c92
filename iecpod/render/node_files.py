"""Files that every Kubernetes node has, whether its image is baked or its packages come by apt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface

from iecpod.release.image_reference import by_digest
from iecpod.release.release import AptRepository, Release


@dataclass(frozen=True, slots=True)
class AptSource:
    """A deb822 source and the place of its key ring; apt takes the key for this source only (`Signed-By`).

    `key_path` is empty where the distribution's own keys are meant.
    """

    path: str
    text: str
    key_path: str


def render_apt_source(repository: AptRepository) -> AptSource:
    key_path = f"/etc/apt/keyrings/{repository.name}.gpg" if repository.key_url else ""
    fields = {
        "Types": "deb",
        "URIs": repository.uri,
        "Suites": " ".join(repository.suites),
        "Components": " ".join(repository.components),
        "Signed-By": key_path,
    }
    text = "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
    return AptSource(f"/etc/apt/sources.list.d/{repository.name}.sources", text, key_path)


def render_node_files(release: Release) -> dict[str, str]:
    """Text by path: kernel modules, sysctls and the runtime's configuration (kubeadm, "Container Runtimes")."""
    files = {
        "/etc/modules-load.d/iecpod-kubernetes.conf": "overlay\nbr_netfilter\n",
        "/etc/sysctl.d/90-iecpod-kubernetes.conf": (
            "net.bridge.bridge-nf-call-iptables = 1\nnet.ipv4.ip_forward = 1\nvm.overcommit_memory = 1\n"
        ),
    }
    if release.runtime == "containerd":
        files["/etc/containerd/config.toml"] = _containerd_config(release)
    else:
        files[DOCKER_CONFIG_PATH] = render_docker_config(release, ())
    return files


DOCKER_CONFIG_PATH = "/etc/docker/daemon.json"
REGISTRIES_DIR = "/etc/containerd/certs.d"


def render_docker_config(release: Release, mirrors: Sequence[str], bridge: IPv4Interface | None = None) -> str:
    """`mirrors` are URLs, of Docker's own registry only; `bridge` is docker0's address, None for docker's default."""
    config: dict[str, object] = {"exec-opts": [f"native.cgroupdriver={release.cgroup_driver}"]}
    if mirrors:
        config["registry-mirrors"] = list(mirrors)
    if bridge:
        config["bip"] = str(bridge)
    return json.dumps(config, indent=2) + "\n"


TIMER_SLACK_NS = 50_000_000


#: What runs under docker is a child of containerd's.
_RUNTIME_UNITS = {"containerd": ("containerd",), "docker": ("containerd", "docker")}


def render_low_overhead_units(release: Release) -> dict[str, str]:
    """Drop-ins by path, for emulated guests: what runs under the container runtime and the kubelet may sleep longer.

    Go's scheduler naps for 20 microseconds at a time, and each nap costs such a guest two context switches and an
    interrupt (prctl(2), PR_SET_TIMERSLACK; containers inherit it). Three idle guests took 1.15 to 1.27 cores of the
    host with 5 ms of slack, 1.09 with 20 ms, 0.86 to 0.89 with 50 ms, and 0.86 with 100 ms.

    Kubernetes' own package starts a kubelet that fails every ten seconds until kubeadm has configured it: on workers,
    for as long as the control plane is being made. The condition keeps it still.
    """
    slack = f"[Service]\nTimerSlackNSec={TIMER_SLACK_NS}ns\n"
    texts = dict.fromkeys(_RUNTIME_UNITS[release.runtime], slack)
    texts["kubelet"] = f"[Unit]\nConditionPathExists=/var/lib/kubelet/config.yaml\n\n{slack}"
    return {f"/etc/systemd/system/{unit}.service.d/20-iecpod-calm.conf": text for unit, text in texts.items()}


def _containerd_config(release: Release) -> str:
    """In version 3 where it is containerd 2 that reads it. Version 2 is read by 1.x, and converted by 2."""
    return _containerd_2_config(release) if release.has_containerd_2 else _containerd_1_config(release)


def _containerd_2_config(release: Release) -> str:
    """Directories of CNI are containerd's own defaults, which kubeadm's checks and Kubernetes' packages share.

    containerd 2.3 asks the shim of each container for its use of the processor every second. The kubelet reads cgroups
    itself, every ten seconds; earlier versions of containerd 2 pass over the key.
    """
    images, runtime = 'plugins."io.containerd.cri.v1.images"', 'plugins."io.containerd.cri.v1.runtime"'
    return f"""version = 3

[{images}.pinned_images]
  sandbox = "{by_digest(release.pause_image)}"

[{images}.registry]
  config_path = "{REGISTRIES_DIR}"

[{runtime}]
  stats_collect_period = "10s"

[{runtime}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[{runtime}.containerd.runtimes.runc.options]
  SystemdCgroup = {_systemd_cgroup(release)}
"""


def _containerd_1_config(release: Release) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2

[{cri}]
  sandbox_image = "{by_digest(release.pause_image)}"

[{cri}.registry]
  config_path = "{REGISTRIES_DIR}"

[{cri}.cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"

[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = {_systemd_cgroup(release)}
"""


def _systemd_cgroup(release: Release) -> str:
    return "true" if release.cgroup_driver == "systemd" else "false"
