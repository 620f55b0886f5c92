"""The same host so many days later: for commands of a test, and for all that they start, QEMU included."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
#: Programs of iecpod get an environment that it chooses, so the library is preloaded by a file, in an /etc that only
#: they see. Go's programs ask the kernel for the time, and would see that of now: they are hidden.
_SCRIPT = """
mount -t overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" overlay /etc
mount -t tmpfs -o mode=755 tmpfs "$2"
echo ready
exec sleep infinity
"""


@contextmanager
def later(days: int, directory: Path, cache_dir: Path) -> Iterator[tuple[str, ...]]:
    """What leads a command there; whoever stays there when it ends keeps the later time.

    What iecpod has compiled into `cache_dir` is not there: it uses the kubectl of the node.
    """
    upper = directory / "upper"
    for made in (upper, directory / "work"):
        made.mkdir(mode=0o755)
    _compile(days * 86400, upper / "later.so")
    (upper / "ld.so.preload").write_text("/etc/later.so\n")
    unshare = ("unshare", "--mount", "--propagation", "slave")
    argv = [*unshare, "sh", "-euc", _SCRIPT, "later", str(directory), str(cache_dir / "programs")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"ready\n"
            yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
        finally:
            holder.kill()


def _compile(seconds: int, library: Path) -> None:
    argv = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", f"-DAHEAD={seconds}", "-o"]
    subprocess.run([*argv, library, _SOURCE, "-ldl"], check=True)
    library.chmod(0o755)
