"""Kubernetes as Debian packages that are cut as upstream's are, made of programs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REVISION = "00"

_KUBELET_UNIT = """[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/home/
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

_START_KUBELET = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
    systemctl daemon-reload
    systemctl enable --now kubelet.service
fi
"""


@dataclass(frozen=True, kw_only=True)
class _Package:
    """`files` is text by path."""

    name: str
    program: str
    depends: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    postinst: str = ""


_PACKAGES = (
    _Package(name="cri-tools", program="crictl"),
    _Package(name="kubectl", program="kubectl"),
    _Package(
        name="kubelet",
        program="kubelet",
        depends="iptables, iproute2, socat, mount, ebtables, ethtool, conntrack, containernetworking-plugins",
        files={"lib/systemd/system/kubelet.service": _KUBELET_UNIT},
        postinst=_START_KUBELET,
    ),
    _Package(
        name="kubeadm",
        program="kubeadm",
        depends="kubelet, kubectl, cri-tools",
        files={"etc/systemd/system/kubelet.service.d/10-kubeadm.conf": _KUBEADM_DROP_IN},
    ),
)


def build_kubernetes_debs(programs: Path, version: str, arch: str, pool: Path, work: Path) -> None:
    """Packages of the programs in that directory, into `pool`. Slow compression would cost emulated guests more."""
    for package in _PACKAGES:
        tree = work / package.name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(_control(package, version, arch))
        if package.postinst:
            (tree / "DEBIAN/postinst").write_text(package.postinst)
            (tree / "DEBIAN/postinst").chmod(0o755)
        for path, text in package.files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        (tree / "usr/bin").mkdir(parents=True)
        (tree / "usr/bin" / package.program).write_bytes((programs / package.program).read_bytes())
        (tree / "usr/bin" / package.program).chmod(0o755)
        deb = pool / f"{package.name}_{version}-{REVISION}_{arch}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", str(tree), str(deb)], check=True)


def _control(package: _Package, version: str, arch: str) -> str:
    fields = {
        "Package": package.name,
        "Version": f"{version}-{REVISION}",
        "Architecture": arch,
        "Maintainer": "Outside World <packages@lab.example>",
        "Depends": package.depends,
        "Description": f"Kubernetes: {package.program}",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
