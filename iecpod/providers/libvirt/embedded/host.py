"""A libvirtd and virtlogd of the POD's own, in a network and a mount namespace of their own.

Everything it keeps is in `POD_DIR/libvirt`, bound over libvirt's usual directories in the daemon's mount namespace.
Those mounts live and die with the processes; the network namespace has a name and is marked with that directory.
A daemon is known by its namespace and its command line, never by a pid file, so a stale one cannot mislead.

virtlogd keeps the console logs bounded. One that was killed is started again and serves guests that start from then on;
what the old one held open it cannot take up, so consoles of guests that ran stay silent (tried with libvirt 9.0).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from iecpod.adapters.host_programs import check_programs, run_program
from iecpod.design.machines import Route
from iecpod.design.owner import Owner
from iecpod.errors import CommandFailed, HypervisorUnavailable, WaitTimeout
from iecpod.ports import Clock
from iecpod.processes import Process, find_processes, mount_points
from iecpod.providers.libvirt import qemu_account
from iecpod.providers.libvirt.connection.host_routes import find_links, find_routes
from iecpod.providers.libvirt.connection.hypervisor import LibvirtHypervisor
from iecpod.providers.libvirt.embedded.namespaces import NamespaceMark, NetworkNamespace, namespace_name
from iecpod.providers.libvirt.embedded.private_mounts import PrivateMounts
from iecpod.providers.libvirt.qemu_account import find_account, open_up
from iecpod.providers.libvirt.vlan.links import BridgeVlanLinks
from iecpod.wait import NotYet, SystemClock, poll

#: What is in POD_DIR/libvirt, and where libvirt looks for it.
_DIRECTORIES = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}

#: In the order of starting: libvirtd hands the guests' output to virtlogd.
_DAEMONS = ("virtlogd", "libvirtd")
_PROGRAMS = (*_DAEMONS, "dnsmasq", "qemu-img", "ip", "nsenter", "unshare", "mount", "umount", "sh")

#: sun_path of unix(7) holds 108 bytes, one of them the final zero.
_SOCKET_PATH_LIMIT_BYTES = 107

_LIBVIRTD_CONF = """\
unix_sock_group = "root"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
unix_sock_admin_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

# Nothing is relabelled when a guest starts: libvirt would give QEMU the images that its disks rest on, too.
_QEMU_CONF = f"""\
user = "{qemu_account.NAME}"
group = "{qemu_account.NAME}"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
"""


class EmbeddedHost:
    """`HypervisorHost` that makes, keeps and takes away its own libvirtd. Needs root."""

    def __init__(
        self,
        pod_dir: Path,
        owner: Owner,
        clock: Clock | None = None,
        *,
        capabilities_cache: Path | None = None,
        shared: tuple[Path, ...] = (),
    ) -> None:
        """`capabilities_cache` outlives the POD: asking QEMU what it can do takes seconds, and PODs may share it.

        `shared` are directories with files that guests only read.
        """
        self._pod_dir = pod_dir
        self._shared = shared
        self._base = pod_dir / "libvirt"
        self._owner = owner
        self._clock = clock or SystemClock()
        self._socket = self._base / "run" / "libvirt-sock"
        self._log = self._base / "log" / "libvirtd.log"
        self._sources = {target: self._base / name for name, target in _DIRECTORIES.items()}
        if capabilities_cache is not None:
            self._sources["/var/cache/libvirt"] = capabilities_cache
        mark = NamespaceMark(pod_dir, owner.installation)
        # An earlier version wrote the directory alone; it is one of this installation.
        self._namespace = NetworkNamespace(namespace_name(owner.ref), str(mark), (str(replace(mark, installation="")),))

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={quote(str(self._socket), safe='/')}"

    @property
    def command_prefix(self) -> tuple[str, ...]:
        return ("nsenter", f"--net={self._namespace.path}")

    def start(self) -> None:
        """Starts what is missing; guests that outlived their libvirtd are found again by a new one.

        Raises `HypervisorUnavailable` (not root, a program missing, libvirtd fails), `ResourceConflict`, `WaitTimeout`.
        """
        self._check_possible()
        if not self._namespace.exists():
            survivors = self._find_processes()
            if survivors:
                self._namespace.adopt(survivors[0].pid)
            else:
                # As after a reboot, when /run is empty: no process is left that its files could be true of.
                shutil.rmtree(self._base / "run", ignore_errors=True)
        self._namespace.ensure()
        self._retire_libvirtd()
        find_account().give_files(self._pod_dir / "pool", self._pod_dir / "nvram")  # of an earlier version
        for program in _DAEMONS:
            if self._find_daemon(program) is None:
                self._write_configuration()
                self._launch(program)
        self._wait_for_socket()

    def connect(self) -> LibvirtHypervisor:
        try:
            return LibvirtHypervisor.open(
                self.uri, self._owner, lambda: find_links(self.command_prefix), find_account()
            )
        except HypervisorUnavailable as error:
            raise HypervisorUnavailable(
                f"libvirtd of POD {self._owner.ref} does not answer: {error.cause}\n{self._log_tail()}".rstrip(),
                f"see {self._log}",
            ) from error

    @property
    def vlan_links(self) -> BridgeVlanLinks:
        return BridgeVlanLinks(self._owner, self.command_prefix, self._namespace.run)

    def open_socket(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        return self._namespace.connect(address, port, timeout_seconds)

    def routes(self) -> tuple[Route, ...]:
        """Empty before `start`: a new namespace has no networks but loopback."""
        return find_routes(self.command_prefix) if self._namespace.exists() else ()

    def stop(self) -> None:
        """Ends every process of the namespace, guests included, and removes it with POD_DIR/libvirt."""
        self._check_root()
        daemons = [process for process in self._find_processes() if self._is_daemon(process, "libvirtd")]
        self._end(daemons, grace_seconds=10.0)  # first, so that it starts nothing in place of what ends next
        self._end(self._find_processes(), grace_seconds=5.0)
        if self._namespace.is_ours():
            self._namespace.remove()
        if self._base.exists():
            shutil.rmtree(self._base)

    def leftovers(self) -> tuple[str, ...]:
        left = [f"process {process}" for process in self._find_processes()]
        if self._namespace.is_ours():
            left.append(f"namespace {self._namespace.name}")
        left += [f"mount {path}" for path in mount_points() if path.is_relative_to(self._base)]
        if self._base.exists():
            left.append(f"directory {self._base}")
        return tuple(left)

    def _check_possible(self) -> None:
        self._check_root()
        check_programs(_PROGRAMS)
        find_account()
        length = len(os.fsencode(self._socket))
        if length > _SOCKET_PATH_LIMIT_BYTES:
            raise HypervisorUnavailable(
                f"{self._socket}: {length} bytes, and the path of a socket has at most {_SOCKET_PATH_LIMIT_BYTES}",
                "choose a shorter state directory",
            )
        hidden = [path for path in _DIRECTORIES.values() if self._base.is_relative_to(path)]
        if hidden:
            raise HypervisorUnavailable(
                f"{self._base}: the embedded libvirtd has a {hidden[0]} of its own and would not see this directory",
                "choose a state directory elsewhere",
            )

    def _check_root(self) -> None:
        if os.geteuid() != 0:
            raise HypervisorUnavailable(
                "the embedded hypervisor makes network and mount namespaces, which needs root",
                "run iecpod with sudo, or name a libvirt that you may use with -c",
            )

    def _retire_libvirtd(self) -> None:
        """One that an earlier version started runs guests as root. Guests keep running; later ones are not."""
        configuration = self._base / "etc" / "qemu.conf"
        daemon = self._find_daemon("libvirtd")
        if daemon is not None and configuration.exists() and configuration.read_text() != _QEMU_CONF:
            self._end([daemon], grace_seconds=10.0)

    def _find_processes(self) -> tuple[Process, ...]:
        """Every process in our network namespace, or that sees our directory as /run/libvirt.

        The second finds them where the name of the namespace is lost.
        """
        inode = self._namespace.inode() if self._namespace.is_ours() else None
        run = self._base / "run"
        run_identity = _identity(run) if run.exists() else None

        def belongs(process: Path) -> bool:
            if inode is not None and (process / "ns" / "net").stat().st_ino == inode:
                return True
            return run_identity is not None and _identity(process / "root" / "run" / "libvirt") == run_identity

        return find_processes(belongs)

    def _find_daemon(self, program: str) -> Process | None:
        return next((process for process in self._find_processes() if self._is_daemon(process, program)), None)

    def _is_daemon(self, process: Process, program: str) -> bool:
        return process.program == program and self._pid_file(program) in process.argv

    def _pid_file(self, program: str) -> str:
        return str(self._base / "run" / f"{program}.pid")

    def _write_configuration(self) -> None:
        self._base.mkdir(mode=0o711, parents=True, exist_ok=True)
        for directory in (*self._shared, *self._sources.values()):
            directory.mkdir(parents=True, exist_ok=True)
        for directory in (self._pod_dir, self._base, *self._sources.values(), *self._shared):
            open_up(directory)
        (self._base / "etc" / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
        (self._base / "etc" / "qemu.conf").write_text(_QEMU_CONF)

    def _launch(self, program: str) -> None:
        daemon = [program, "--daemon", "--pid-file", self._pid_file(program)]
        try:
            run_program([*self.command_prefix, *self._mounts().argv(daemon)])
        except CommandFailed as error:
            if self._find_daemon(program) is not None:  # another iecpod was quicker
                return
            raise HypervisorUnavailable(
                f"{program} of POD {self._owner.ref} does not start: {error.tail.strip()}\n{self._log_tail()}".rstrip(),
                f"see {self._log}",
            ) from error

    def _mounts(self) -> PrivateMounts:
        account, needed = find_account(), (self._pod_dir, *self._shared)
        return PrivateMounts(
            over={**self._sources, **account.write_files(self._base)},
            needed=needed,
            barriers=tuple(account.find_barriers(needed)),
            kvm=qemu_account.find_kvm(),
            kvm_owner=f"{account.uid}:{account.gid}",
        )

    def _wait_for_socket(self) -> None:
        def probe() -> None:
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(self._socket))
            except OSError as error:
                raise NotYet(str(error)) from error

        try:
            poll("libvirtd's socket", probe, timeout_seconds=30.0, clock=self._clock, interval_seconds=0.1)
        except WaitTimeout as error:
            raise HypervisorUnavailable(f"{error.cause}\n{self._log_tail()}".rstrip(), f"see {self._log}") from error

    def _log_tail(self) -> str:
        try:
            return self._log.read_text(errors="replace")[-2000:]
        except FileNotFoundError:
            return ""

    def _end(self, processes: Sequence[Process], grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL for those that live on after the grace."""
        for signal_number, patience_seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
            pids = {process.pid for process in processes} & {process.pid for process in self._find_processes()}
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal_number)
            deadline = self._clock.now() + patience_seconds
            while pids and self._clock.now() < deadline:
                self._clock.sleep(0.05)
                pids &= {process.pid for process in self._find_processes()}


def _identity(directory: Path) -> tuple[int, int]:
    status = directory.stat()
    return status.st_dev, status.st_ino
