"""Debian packages that are cut as upstream's and docker's are, made of programs that were compiled from Go modules."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.cache.hashed_files import place_file

_KUBERNETES_REVISION, _DOCKER_REVISION = "1.1", "1~ubuntu.24.04~noble"

_KUBELET_UNIT = """[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
"""

_KUBEADM_DROP_IN = """[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""

_CONTAINERD_UNIT = """[Unit]
Description=containerd container runtime
After=network.target local-fs.target

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""

#: As docker's package has it: with this file, no kubelet can use containerd.
_CONTAINERD_CONFIG = 'disabled_plugins = ["cri"]\n'

_START = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
    systemctl daemon-reload
    systemctl enable --now {unit}
fi
"""

_CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap", "bandwidth", "tuning")


@dataclass(frozen=True, kw_only=True)
class _Package:
    """`module` is the one whose version it has. `programs` and `links` (name and target) are in `directory`; `files` is
    text by path, and what of it is below /etc is configuration.
    """

    name: str
    module: str
    revision: str = _KUBERNETES_REVISION
    programs: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    directory: str = "usr/bin"
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    starts: str = ""


#: All of Kubernetes is one program, in the kubelet's package. The others need that; upstream's do not.
_KUBERNETES = (
    _Package(name="cri-tools", module="crictl", programs=("crictl",)),
    _Package(name="kubernetes-cni", module="cni-plugins", programs=_CNI_PLUGINS, directory="opt/cni/bin"),
    _Package(
        name="kubelet",
        module="kubernetes",
        programs=("kubernetes",),
        links={"kubelet": "kubernetes"},
        fields={"Depends": "kubernetes-cni (>= 1.2.0), mount, util-linux", "Recommends": "iptables (>= 1.8.4)"},
        files={
            "usr/lib/systemd/system/kubelet.service": _KUBELET_UNIT,
            "etc/default/kubelet": "KUBELET_EXTRA_ARGS=\n",
        },
        starts="kubelet.service",
    ),
    _Package(name="kubectl", module="kubernetes", links={"kubectl": "kubernetes"}, fields={"Depends": "kubelet"}),
    _Package(
        name="kubeadm",
        module="kubernetes",
        links={"kubeadm": "kubernetes"},
        fields={"Depends": "kubelet"},
        files={"usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": _KUBEADM_DROP_IN},
    ),
)

_DOCKER = (
    _Package(
        name="containerd.io",
        module="containerd",
        revision=_DOCKER_REVISION,
        programs=("containerd", "containerd-shim-runc-v2", "ctr", "runc"),
        fields={"Provides": "containerd, runc", "Conflicts": "containerd, runc"},
        files={
            "usr/lib/systemd/system/containerd.service": _CONTAINERD_UNIT,
            "etc/containerd/config.toml": _CONTAINERD_CONFIG,
        },
        starts="containerd.service",
    ),
)

#: By the name that the release gives the repository.
PACKAGES = {"kubernetes": _KUBERNETES, "docker": _DOCKER}


def build_debs(
    repository: str, programs: Path, version_of: Callable[[str], str], arch: str, pool: Path, work: Path
) -> None:
    """The packages of that repository into `pool`, of programs that are in one directory.

    `version_of` a module is without a revision. Slow compression would cost emulated guests more.
    """
    for package in PACKAGES[repository]:
        version = f"{version_of(package.module)}-{package.revision}"
        tree = work / package.name
        _fill_tree(tree, package, programs)
        _write_control(tree / "DEBIAN", package, version, arch)
        deb = pool / f"{package.name}_{version}_{arch}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", str(tree), str(deb)], check=True)


def _fill_tree(tree: Path, package: _Package, programs: Path) -> None:
    directory = tree / package.directory
    directory.mkdir(parents=True)
    for program in package.programs:
        place_file(programs / program, directory / program)
    for name, target in package.links.items():
        (directory / name).symlink_to(target)
    for path, text in package.files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)


def _write_control(directory: Path, package: _Package, version: str, arch: str) -> None:
    directory.mkdir()
    fields = {
        "Package": package.name,
        "Version": version,
        "Architecture": arch,
        "Maintainer": "Outside World <packages@lab.example>",
        **package.fields,
        "Description": f"{package.module} as a package",
    }
    (directory / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    configuration = "".join(f"/{path}\n" for path in package.files if path.startswith("etc/"))
    if configuration:
        (directory / "conffiles").write_text(configuration)
    if package.starts:
        (directory / "postinst").write_text(_START.format(unit=package.starts))
        (directory / "postinst").chmod(0o755)
