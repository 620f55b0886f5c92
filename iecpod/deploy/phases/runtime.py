"""Container runtime and Kubernetes' own binaries: there in a baked image, or installed with apt or from the bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface

from iecpod.deploy.node.apt_packages import install_packages
from iecpod.deploy.node.file_digests import CHECK_DIGESTS, digest_lines
from iecpod.deploy.node.node_probe import IS_ACTIVE, is_in_place
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.errors import CommandFailed
from iecpod.model import Arch
from iecpod.ports import BundleFiles, Shell
from iecpod.release.image_archive import ImageArchive
from iecpod.release.mirrors import Supply
from iecpod.release.release import AptRepository, Release
from iecpod.render.bundle_install import (
    MOUNT_DISK,
    NO_DISK,
    import_script,
    install_script,
    look_script,
    render_bundle_files,
)
from iecpod.render.mirror_files import render_runtime_files
from iecpod.render.node_files import (
    TIMER_SLACK_NS,
    render_low_overhead_units,
    render_node_files,
)
from iecpod.render.package_locks import WAITING_DPKG

_INSTALL_SECONDS = 900.0

#: Threads and processes take the slack of the thread that makes them.
_SET_SLACK = """
for task in "/proc/$(systemctl show --property=MainPID --value "$1")"/task/*; do
    echo "$2" > "/proc/${task##*/}/timerslack_ns"
done
"""

#: Where a bundle is put or mounted, and what goes last: while it is there, an installation is not finished.
_BUNDLE_DIR = "/var/cache/iecpod-bundle"
_ARCHIVES_DIR = "/var/cache/iecpod-images"

_IS_INSTALLED = f"test -x /usr/bin/kubeadm && test ! -e {_BUNDLE_DIR}"
#: Argument: the unit.
_IS_ACTIVE = f"""
{IS_ACTIVE}
is_active "$1"
"""

#: How names of files begin that keep what kubeadm said of itself.
KUBEADM_SAID = "/run/iecpod-kubeadm"

#: One command a node. Arguments: digests of files, the runtime, Kubernetes' version. What kubeadm says is kept until
#: the next boot, for the program that said it: to start it takes an emulated guest a second. A kubeadm
#: that is killed, such as for want of memory, has not said what it is; one that cannot run or crashes is missing.
_CHECK = f"""
{IS_ACTIVE}
test ! -e {_BUNDLE_DIR}
kubeadm=$(command -v kubeadm) || exit 1
said={KUBEADM_SAID}-$(stat --dereference --format=%i-%s-%Y "$kubeadm")
if test ! -s "$said"; then
    kubeadm version --output=short > "$said.new" || case $? in 1 | 12[67] | 13[2459]) exit 1 ;; *) exit 2 ;; esac
    mv "$said.new" "$said"
fi
test "$(cat "$said")" = "v$3"
is_active "$2"
{CHECK_DIGESTS}
"""

#: What the files of a node ask for, without a boot.
_APPLY_FILES = """
swapoff --all
systemctl restart systemd-modules-load
sysctl --quiet --system
"""


@dataclass(frozen=True, slots=True)
class RuntimePhase:
    """What a release's packages bring, or a bundle where the image has not brought it.

    `fetch_key` returns the key ring of a repository; it is fetched once, by this host, and not by each node.
    `find_bundle` returns what a node gets of the bundle: all, or of one that is sent, what its role needs. `disk_uuids`
    are the file systems of disks that bring it, by host name; a node whose machine has none gets the bundle over SSH.
    `docker_bridge` is docker0's address.
    `archs` are those of the nodes, by host name. Nodes that install from the network are also sent archives of images.
    """

    release: Release
    supply: Supply
    shells: Mapping[str, Shell]
    fetch_key: Callable[[AptRepository], bytes]
    find_bundle: Callable[[str, bool], BundleFiles]
    tools: PhaseTools
    disk_uuids: Mapping[str, str] = field(default_factory=dict)
    docker_bridge: IPv4Interface | None = None
    archs: Mapping[str, Arch] = field(default_factory=dict)
    name: str = "runtime"
    summary: str = "container runtime, kubeadm, kubelet and kubectl on every node"

    def probe(self) -> str | None:
        if not all(run_on_nodes(tuple(self.shells), self._is_in_place).values()):
            return None
        return f"{self.release.runtime}, Kubernetes {self.release.kubernetes_version}"

    def run(self) -> None:
        signed = [repository for repository in self.release.repositories if repository.key_url]
        keys = {repository.name: self.fetch_key(repository) for repository in signed}
        self.tools.node_times.on_nodes(tuple(self.shells), lambda hostname: self._prepare(hostname, keys))

    def _files(self) -> dict[str, str]:
        files = {**render_node_files(self.release), **self._runtime_files()}
        return files | (render_low_overhead_units(self.release) if self.tools.deadlines.low_overhead else {})

    def _runtime_files(self) -> dict[str, str]:
        return render_runtime_files(self.release, self.supply, self.docker_bridge)

    def _is_in_place(self, hostname: str) -> bool:
        wanted = (digest_lines(self._files()), self.release.runtime, self.release.kubernetes_version)
        return self._has(hostname, _CHECK, *wanted) and self._has_images(hostname)

    def _has(self, hostname: str, check: str, *arguments: str) -> bool:
        """Raises `WaitTimeout` where the node does not say it."""
        return is_in_place(self.shells[hostname], self.tools.waits, check, *arguments)

    def _prepare(self, hostname: str, keys: Mapping[str, bytes]) -> None:
        shell = self.shells[hostname]
        if self._installs_from_network:
            self._install(hostname, shell, keys)
            if not self._has_images(hostname):
                self._send_archives(hostname, shell)
            return
        if not self._has(hostname, _IS_INSTALLED):
            self._install_bundle(hostname, shell)
        shell.run(["systemctl", "enable", "--now", self.release.runtime])
        self._lead_to_mirrors(shell)
        if self.tools.deadlines.low_overhead:
            self._let_nap(shell)

    def _install(self, hostname: str, shell: Shell, keys: Mapping[str, bytes]) -> None:
        """Files first: a package starts what it brings, and docker closes a node to forwarded traffic that it finds
        not forwarding.
        """
        was_active = self._has(hostname, _IS_ACTIVE, self.release.runtime)
        _write_files(shell, self._files())
        shell.run(["sh", "-euc", _APPLY_FILES])
        self.tools.reporter.progress("installing packages", hostname)
        install_packages(shell, self.release, keys, self.tools)
        shell.run(["systemctl", "enable", "--now", self.release.runtime])
        if was_active:  # with the files of before
            shell.run(["systemctl", "daemon-reload"])
            shell.run(["systemctl", "restart", self.release.runtime])

    @property
    def _installs_from_network(self) -> bool:
        return bool(self.release.packages) and self.release.provided is None

    def _archives(self, hostname: str) -> list[ImageArchive]:
        """None where they came with the bundle."""
        if not self._installs_from_network or hostname not in self.archs:
            return []
        return [archive for archive in self.release.image_archives if archive.references(self.archs[hostname])]

    def _references(self, hostname: str) -> list[str]:
        archives = self._archives(hostname)
        return list(dict.fromkeys(name for archive in archives for name in archive.references(self.archs[hostname])))

    def _has_images(self, hostname: str) -> bool:
        references = self._references(hostname)
        if not references:
            return True
        return self._has(hostname, look_script(self.release), *references)

    def _send_archives(self, hostname: str, shell: Shell) -> None:
        archives = self._archives(hostname)
        shell.run(["rm", "-rf", _ARCHIVES_DIR])  # of a run that was killed, perhaps with others
        for sent, archive in enumerate(archives, 1):
            self.tools.reporter.progress(f"receives images, archive {sent} of {len(archives)}", hostname)
            shell.send_file(archive.file(self.archs[hostname]), f"{_ARCHIVES_DIR}/images/{archive.digest}.tar")
        self.tools.reporter.progress("loads the images", hostname)
        script = f"bundle={_ARCHIVES_DIR}\n{import_script(self.release)}\nrm -r {_ARCHIVES_DIR}\n"
        argv = ["sh", "-euc", script, "load-images", *self._references(hostname)]
        shell.run(argv, timeout_seconds=self.tools.deadlines.seconds(_INSTALL_SECONDS))

    def _lead_to_mirrors(self, shell: Shell) -> None:
        files = self._runtime_files()
        _write_files(shell, files)
        if files:
            shell.run(["systemctl", "daemon-reload"])
            shell.run(["systemctl", "restart", self.release.runtime])

    def _install_bundle(self, hostname: str, shell: Shell) -> None:
        _write_files(shell, render_bundle_files(self.release))
        is_sent = not self._mount_disk(hostname, shell)
        bundle = self.find_bundle(hostname, is_sent)
        if is_sent:
            self._send_bundle(bundle, hostname, shell)
        self.tools.reporter.progress("installs the bundle and loads its images", hostname)
        argv = ["sh", "-euc", _bundle_script(self.release), "install-bundle", *bundle.references]
        shell.run(argv, timeout_seconds=self.tools.deadlines.seconds(_INSTALL_SECONDS))

    def _mount_disk(self, hostname: str, shell: Shell) -> bool:
        if hostname not in self.disk_uuids:
            return False
        argv = ["sh", "-euc", MOUNT_DISK, "mount-bundle", _BUNDLE_DIR, self.disk_uuids[hostname]]
        result = shell.run(argv, check=False)
        if result.returncode not in (0, NO_DISK):
            raise CommandFailed(hostname, argv, result.returncode, result.stderr)
        return result.returncode == 0

    def _send_bundle(self, bundle: BundleFiles, hostname: str, shell: Shell) -> None:
        places = [
            *((deb, f"debs/{deb.name}", False) for deb in bundle.debs),
            *((program, f"bin/{program.name}", True) for program in bundle.programs),
            *((archive, f"images/{archive.name}", False) for archive in bundle.images),
        ]
        for sent, (local, place, compress) in enumerate(places, 1):
            self.tools.reporter.progress(f"receives the bundle, file {sent} of {len(places)}", hostname)
            shell.send_file(local, f"{_BUNDLE_DIR}/{place}", compress=compress)

    def _let_nap(self, shell: Shell) -> None:
        """The runtime runs already; a restart would take minutes of what this is to save. kubeadm reloads the units."""
        shell.run(["sh", "-c", _SET_SLACK, "slack", self.release.runtime, str(TIMER_SLACK_NS)])
        _write_files(shell, render_low_overhead_units(self.release))


def _bundle_script(release: Release) -> str:
    """What is done with a bundle that has been put there. Arguments: references of its images."""
    return f"""
bundle={_BUNDLE_DIR}
{WAITING_DPKG}
{install_script(release)}
{_APPLY_FILES}
systemctl restart {release.runtime}
{import_script(release)}
if mountpoint --quiet "$bundle"; then umount "$bundle"; fi
rm -r "$bundle"
"""


def _write_files(shell: Shell, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        shell.write_file(path, text.encode())
