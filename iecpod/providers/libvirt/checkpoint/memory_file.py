"""Memory of a domain as checkpoints keep it: what libvirt wrote, compressed by zstd.

libvirt itself knows no fast compression (save_image_format in qemu.conf), and would compress while domains are paused.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from iecpod.adapters.command_trace import trace_command
from iecpod.adapters.host_programs import ENVIRONMENT, run_program
from iecpod.files.writer import sync_path

#: A quarter remains; with faster levels more does, and beside guests that run they were not faster.
_COMPRESS = ("zstd", "-1", "--quiet", "--force", "-o")
#: Nothing of it outlives this process.
_DECOMPRESS = ("setpriv", "--pdeathsig", "KILL", "zstd", "-dcq", "--")
#: What Linux gives to every user (fs.pipe-max-size). With 64 KiB, both ends were put to sleep all the time.
_PIPE_BYTES = 1 << 20
#: Some GiB on a slow host.
_COMPRESS_SECONDS = 900.0


def compress_memory(memory: Path) -> None:
    """In place, and on disk; killed, it leaves the file as it was. Raises `CommandFailed`."""
    compressed = memory.with_name(f"{memory.name}.zst")
    run_program([*_COMPRESS, str(compressed), "--", str(memory)], timeout_seconds=_COMPRESS_SECONDS)
    compressed.replace(memory)
    sync_path(memory)


@contextmanager
def decompressed_memory(memory: Path, pipe: Path) -> Iterator[None]:
    """`pipe` is a named pipe for libvirt to read once, as it would read the file that it wrote.

    It is open for reading until the end: what decompresses would be ended for want of a reader that is yet to come.
    """
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    try:
        with _opened(pipe, os.O_RDONLY | os.O_NONBLOCK) as reader:
            with suppress(PermissionError):  # the host allows less
                fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            with _decompressing(memory, pipe):
                yield
    finally:
        pipe.unlink()


@contextmanager
def _decompressing(memory: Path, pipe: Path) -> Iterator[None]:
    argv = [*_DECOMPRESS, str(memory)]
    trace_command("host", argv)
    with _opened(pipe, os.O_WRONLY) as writer:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.DEVNULL, env=ENVIRONMENT
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _opened(pipe: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(pipe, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
