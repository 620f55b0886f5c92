"""How a bundle gets into a node's system: the same steps in the tree of a baked image and in a guest that runs."""

from __future__ import annotations

from iecpod.design.release import Release
from iecpod.naming import BUNDLE_DISK
from iecpod.render.node_files import render_node_files

_KUBELET_UNIT = """[Unit]
Description=Kubernetes node agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target containerd.service
After=network-online.target containerd.service

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
RestartSec=10
StartLimitInterval=0

[Install]
WantedBy=multi-user.target
"""

#: The contract between kubeadm and the kubelet's unit (kubeadm, "Configuring each kubelet in your cluster using
#: kubeadm"). Until kubeadm has written the configuration, the condition keeps the unit still.
_KUBELET_DROP_IN = """[Unit]
ConditionPathExists=/var/lib/kubelet/config.yaml

[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""

_KUBELET_FILES = {
    "/etc/systemd/system/kubelet.service": _KUBELET_UNIT,
    "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf": _KUBELET_DROP_IN,
}

NO_DISK = 3

#: Shell, on a guest. Arguments: the directory to mount at, the UUID of the file system. Exits with `NO_DISK` where the
#: guest has no such disk.
MOUNT_DISK = f"""
device=/dev/disk/by-id/virtio-{BUNDLE_DISK}
test "$device" -ef "/dev/disk/by-uuid/$2" || exit {NO_DISK}
mkdir -p "$1"
mountpoint --quiet "$1" || mount -o ro "$device" "$1"
"""

#: Shell; `$bundle` is the directory that holds debs/ and bin/.
INSTALL_PROGRAMS = """
export DEBIAN_FRONTEND=noninteractive
dpkg --unpack "$bundle"/debs/*.deb
dpkg --configure --pending --force-confold
install -m 755 "$bundle"/bin/* /usr/bin/
mkdir -p /opt/cni
ln -sfn /usr/lib/cni /opt/cni/bin
systemctl enable containerd.service kubelet.service
"""

#: Shell; with containerd at work. The arguments are references that must be there afterwards.
IMPORT_IMAGES = """
ctr --namespace k8s.io images import "$bundle"/images/images.tar
for reference; do
    ctr --namespace k8s.io images ls --quiet | grep --quiet --line-regexp --fixed-strings "$reference"
done
"""


def render_bundle_files(release: Release) -> dict[str, str]:
    """Text by path of what a package of Kubernetes' own would have brought."""
    return {**render_node_files(release), **_KUBELET_FILES}
