"""A machine to try scripts for nodes on: this one's file system, of which nothing is changed, and a network of its own.

What is written lands in memory and is gone with the namespaces. systemd does not run there, so its programs are stubs,
and so are those that would load modules into the kernel that all share.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from iecpod.errors import CommandFailed
from iecpod.ports import CommandResult

_MAKE = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/changed" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changed,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount -t sysfs sysfs "$1/root/sys"
mount --bind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"
mount -t tmpfs tmpfs "$1/root/tmp"
ip link set lo up
echo made
exec sleep 900
"""

_STUBS = {
    "systemctl": """#!/bin/sh
echo "$*" >> /run/systemctl.log
case $1 in is-active) echo inactive; exit 3 ;; esac
""",
    "systemd-run": """#!/bin/sh
while test "$1" != --; do shift; done
shift
exec "$@"
""",
    "modprobe": "#!/bin/sh\n",
    "rmmod": "#!/bin/sh\nexit 1\n",
}


class OtherMachine:
    """`Shell` by nsenter and chroot; commands run as root there."""

    def __init__(self, node: str, pid: int, root: Path) -> None:
        self._node = node
        self._root = root
        self._prefix = ["nsenter", "--target", str(pid), "--mount", "--net", "--uts", "chroot", str(root)]

    @property
    def node(self) -> str:
        return self._node

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float = 600.0, check: bool = True
    ) -> CommandResult:
        done = subprocess.run([*self._prefix, *argv], input=stdin, capture_output=True, timeout=timeout_seconds)
        result = CommandResult(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())
        if check and done.returncode != 0:
            raise CommandFailed(self._node, argv, done.returncode, result.stdout + result.stderr)
        return result

    def sh(self, script: str, *arguments: str) -> str:
        return self.run(["sh", "-euc", script, "sh", *arguments]).stdout

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        script = 'mkdir -p "${1%/*}"; cat > "$1"; chmod "$2" "$1"'
        self.run(["sh", "-euc", script, "write", path, f"{mode:o}"], stdin=content)

    def send_file(self, local: Path, path: str, mode: int = 0o644, *, compress: bool = False) -> None:
        self.write_file(path, local.read_bytes(), mode)

    def read_file(self, path: str) -> bytes:
        return self.run(["cat", path]).stdout.encode()

    def connect(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def other_machine(directory: Path, node: str = "iec01") -> Iterator[OtherMachine | None]:
    """None where no namespaces can be made, or no overlay."""
    argv = ["unshare", "--mount", "--net", "--uts", "sh", "-c", _MAKE, "make", str(directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as holder:
        assert holder.stdout is not None
        if not holder.stdout.readline():
            yield None
            return
        try:
            machine = OtherMachine(node, holder.pid, directory / "root")
            for name, text in _STUBS.items():
                machine.write_file(f"/usr/local/sbin/{name}", text.encode(), 0o755)
            yield machine
        finally:
            holder.kill()
