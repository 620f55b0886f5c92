"""How what a bundle holds gets into a node's system: the same steps in the tree of a baked image and in a guest."""

from __future__ import annotations

import shlex

from iecpod.naming import BUNDLE_DISK
from iecpod.release.go_source import GoSource
from iecpod.release.release import ImageSourceType, Release
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

#: For an image that is made of packages, the bundle has exactly what it lacks.
_INSTALL_ALL = """
dpkg --unpack "$bundle"/debs/*.deb
dpkg --configure --pending --force-confold
"""

#: What an image holds that was fetched is not known: apt chooses what is missing or too old, from the bundle and from
#: nowhere else. Nobody signs its index; the bundle's manifest has the digest of that, and it has those of the packages.
#: Nothing of it stays on the node.
_INSTALL_CHOSEN = """
apt=$(mktemp -d)
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
echo "deb [trusted=yes] file:$bundle/debs ./" > "$apt/sources.list"
from_bundle() {
    apt-get --quiet --yes --no-install-recommends --allow-downgrades --allow-change-held-packages \\
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o DPkg::Lock::Timeout=600 \\
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \\
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o Dpkg::Options::=--force-confold "$@"
}
from_bundle update
from_bundle install -- @PACKAGES@
rm -r "$apt"
"""

_INSTALL_PROGRAMS = """
install -m 755 "$bundle"/bin/* /usr/bin/
"""

#: Of the names of Kubernetes' one binary, those that are called outside containers.
_CALLED_ON_NODES = ("kubeadm", "kubelet", "kubectl")

_CNI_DIRECTORY = "/opt/cni/bin"
_CNI_MODULE = "cni-plugins"

_CONTAINERD_UNIT = """[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target local-fs.target

[Service]
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

HOLD = "apt-mark hold kubeadm kubelet kubectl\n"

#: Debian's package of CNI's programs has them elsewhere than Kubernetes looks.
LINK_CNI = """
if [ -d /usr/lib/cni ] && [ ! -e /opt/cni/bin ]; then
    mkdir -p /opt/cni
    ln -s /usr/lib/cni /opt/cni/bin
fi
"""

#: Images that were made here or given as archives come from no registry: the kubelet must never remove them.
_KEEP_IMAGE = '    ctr --namespace k8s.io images label "$reference" io.cri-containerd.pinned=pinned > /dev/null\n'

#: How an archive of images is loaded, and how to see that an image is there.
_LOAD = {
    "containerd": (
        'ctr --namespace k8s.io images import "$archive"',
        'ctr --namespace k8s.io images ls --quiet | grep --quiet --line-regexp --fixed-strings -- "$reference"',
    ),
    "containerd 2": (
        'ctr --namespace k8s.io images import --local --discard-unpacked-layers "$archive"',
        'ctr --namespace k8s.io images ls --quiet | grep --quiet --line-regexp --fixed-strings -- "$reference"',
    ),
    "docker": ('docker load --quiet --input "$archive"', 'docker image inspect --format "{{.Id}}" -- "$reference"'),
}


def install_script(release: Release) -> str:
    """Shell; `$bundle` is the directory that holds debs/ and bin/."""
    is_exact = release.image.type is ImageSourceType.MMDEBSTRAP
    packages = shlex.join(release.node_packages)
    programs = _install_go_programs(release.go) if release.go is not None else _INSTALL_PROGRAMS
    parts = [
        "export DEBIAN_FRONTEND=noninteractive\n",
        _INSTALL_ALL if is_exact else _INSTALL_CHOSEN.replace("@PACKAGES@", packages),
        HOLD if release.packages else programs,
        LINK_CNI,
        f"systemctl enable {release.runtime}.service kubelet.service\n",
    ]
    return "".join(parts)


def _install_go_programs(source: GoSource) -> str:
    """Pod networks' plugins go where the kubelet looks, all else where people look."""
    plugins = [name for module in source.modules if module.name == _CNI_MODULE for name in module.programs]
    lines = [
        f"install -d {_CNI_DIRECTORY}",
        f"for program in {shlex.join(plugins)}; do",
        f'    install -m 755 "$bundle/bin/$program" {_CNI_DIRECTORY}/',
        "done",
        'for program in "$bundle"/bin/*; do',
        f'    [ -e "{_CNI_DIRECTORY}/${{program##*/}}" ] || install -m 755 "$program" /usr/bin/',
        "done",
        *(
            f"ln -sf {program} /usr/bin/{name}"
            for module in source.modules
            for program, names in module.names.items()
            for name in names
            if name in _CALLED_ON_NODES
        ),
    ]
    return "\n".join(lines) + "\n"


def import_script(release: Release) -> str:
    """Shell; with the container runtime at work. The arguments are references that must be there afterwards."""
    load, look = _load_and_look(release)
    is_own = release.is_compiled_whole or (release.runtime == "containerd" and bool(release.image_archives))
    keep = _KEEP_IMAGE if is_own else ""
    return f"""
for archive in "$bundle"/images/*.tar; do
    {load}
done
for reference; do
    {look}
{keep}done
"""


def look_script(release: Release) -> str:
    """Shell, for `set -e`: fails with 1 unless all images are there whose references are the arguments.

    A runtime that does not answer has not said what it has: it fails with 2.
    """
    answers = "docker version" if release.runtime == "docker" else "ctr --namespace k8s.io images ls --quiet"
    return f"{answers} > /dev/null || exit 2\nfor reference; do\n    {_load_and_look(release)[1]}\ndone\n"


def _load_and_look(release: Release) -> tuple[str, str]:
    return _LOAD["containerd 2" if release.is_compiled_whole else release.runtime]


def render_bundle_files(release: Release) -> dict[str, str]:
    """Text by path of what is on a node before its software, and of what no package brings."""
    files = {**render_node_files(release), **({} if release.packages else _KUBELET_FILES)}
    if release.is_compiled_whole:
        files["/etc/systemd/system/containerd.service"] = _CONTAINERD_UNIT
        files["/etc/crictl.yaml"] = "runtime-endpoint: unix:///run/containerd/containerd.sock\n"
    return files
