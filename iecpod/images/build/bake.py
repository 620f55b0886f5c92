"""A tree and a bundle become one tree: a node that has Kubernetes before it first boots.

Loading images costs an emulated guest minutes, and the host seconds; so the host does it, with the tree's own
containerd, confined to the tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iecpod.errors import ImageError
from iecpod.images.build.node_software import Software
from iecpod.images.confinement.overlay_xattrs import settle_overlay_marks
from iecpod.images.confinement.program import (
    FOR_A_TREE,
    FOR_CONTAINERD,
    FOR_PACKAGES,
    FOR_UNPACKING,
    Confinement,
    of_this_host,
)
from iecpod.images.confinement.tool import run_tool
from iecpod.images.confinement.untrusted_tree import Beneath, Links
from iecpod.release.release import Release
from iecpod.render.bundle_install import import_script, install_script, render_bundle_files

#: A change of what this module does to a tree changes every baked image.
BAKE_VERSION = 2

_IMPORT_CONFIG = """version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
"""

#: Both run inside the tree, with the bundle at /mnt.
_INSTALL = """
set -eu
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
bundle=/mnt
@INSTALL@
rm /usr/sbin/policy-rc.d
"""

#: Arguments: references; fails unless every one is there.
_IMPORT = """
set -eu
bundle=/mnt
containerd --config /etc/containerd/import.toml --log-level warn &
daemon=$!
tries=0
until ctr version > /tmp/version 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then cat /tmp/version; exit 1; fi
    sleep 0.2
done
@IMPORT@
@SETTLE@
kill $daemon
wait $daemon || true
rm -rf @SNAPSHOTS@/*/work/work
rm /etc/containerd/import.toml
rm -rf /var/log/apt /var/log/*.log /var/log/alternatives.log /var/cache/debconf/*-old /var/lib/dpkg/*-old
touch /etc/.updated /var/.updated
"""

_SNAPSHOTS = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"

#: Images are unpacked, so their archives can go. A program that several of them and the node have is one file (hard
#: links), which the kernel has in memory once.
_SETTLE = """
ctr --namespace k8s.io content prune references > /dev/null
for copy in @SNAPSHOTS@/*/fs/usr/local/bin/*; do
    program=/usr/bin/${copy##*/}
    if [ -f "$copy" ] && [ ! -L "$copy" ] && cmp -s "$copy" "$program"; then
        ln -f "$program" "$copy"
    fi
done
"""


def bake_scripts(release: Release) -> tuple[str, str]:
    """Shell, inside the tree: what installs, and what loads the images that are its arguments."""
    settle = _SETTLE if release.is_compiled_whole else ""
    load = _IMPORT.replace("@IMPORT@", import_script(release)).replace("@SETTLE@", settle)
    return _INSTALL.replace("@INSTALL@", install_script(release)), load.replace("@SNAPSHOTS@", _SNAPSHOTS)


def bake_tree(tree: Path, release: Release, software: Software, log_path: Path) -> None:
    """Installs the software into the tree. Raises `ImageError` with the end of the log."""
    _write_files(tree, {**render_bundle_files(release), "/etc/containerd/import.toml": _IMPORT_CONFIG})
    given = {"/mnt": software.path}
    install, load = bake_scripts(release)
    run_tool(
        ["sh", "-c", install],
        purpose=f"installing the software of {release.name} into the tree",
        log_path=log_path,
        confined=Confinement(limits=FOR_A_TREE, root=tree, readable=given, capabilities=FOR_PACKAGES),
    )
    run_tool(
        ["sh", "-c", load, "load", *software.references],
        purpose=f"loading the images of {release.name} into the tree",
        log_path=log_path,
        confined=Confinement(limits=FOR_A_TREE, root=tree, readable=given, capabilities=FOR_CONTAINERD),
    )
    settle_overlay_marks(tree, _SNAPSHOTS)


def _write_files(tree: Path, files: Mapping[str, str]) -> None:
    with Beneath.of(tree, Links.WITHIN) as inside:
        for path, text in files.items():
            try:
                inside.write_text(path, text)
            except OSError as error:
                raise ImageError(
                    f"{path} cannot be written in the tree: {error.strerror}",
                    "build the tree or the bundle again: something there is in the way, or a link leads nowhere",
                ) from error


def unpack_tree(tar: Path, tree: Path, log_path: Path) -> None:
    """Unpacks a tar of `rootfs` with its owners, device nodes and file capabilities; nothing is written elsewhere."""
    tree.mkdir()
    unpack = ["tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    run_tool(
        [*unpack, f"--file={tar}", f"--directory={tree}"],
        purpose="unpacking the tree",
        log_path=log_path,
        confined=of_this_host(limits=FOR_A_TREE, readable=[tar], writable=[tree], capabilities=FOR_UNPACKING),
    )
