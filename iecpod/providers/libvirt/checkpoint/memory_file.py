"""Memory of a domain as checkpoints keep it: what libvirt wrote, compressed by zstd.

libvirt itself knows no fast compression (save_image_format in qemu.conf), and would compress while domains are paused.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iecpod.adapters.command_trace import trace_command
from iecpod.adapters.host_programs import ENVIRONMENT, run_program
from iecpod.files.writer import sync_path

#: A quarter remains; with faster levels more does, and beside guests that run they were not faster.
_COMPRESS = ("zstd", "-1", "--quiet", "--force", "-o")
#: What Linux gives to every user (fs.pipe-max-size). With the usual 64 KiB, both ends sleep most of the time.
_PIPE_BYTES = 1 << 20
#: Opens the pipe, which waits for its reader, and only then makes it larger: a pipe that held all of a small file
#: before its reader has opened it would have no writer any more.
_OPEN_PIPE = f"""
import fcntl, os, sys
pipe, *command = sys.argv[1:]
writer = os.open(pipe, os.O_WRONLY)
try:
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, {_PIPE_BYTES})
except PermissionError:
    pass  # the host allows less
os.dup2(writer, 1)
os.execvp(command[0], command)
"""
#: Nothing of it outlives this process.
_TO_PIPE = ("setpriv", "--pdeathsig", "KILL", sys.executable, "-I", "-S", "-c", _OPEN_PIPE)
_DECOMPRESS = ("zstd", "-dcq", "--")
_DECOMPRESS_TO = ("zstd", "-d", "--quiet", "--force", "-o")
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
    """`pipe` is a named pipe for libvirt to read once, as it would read the file that it wrote."""
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    argv = [*_TO_PIPE, str(pipe), *_DECOMPRESS, str(memory)]
    trace_command("host", [*_DECOMPRESS, str(memory)])
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        pipe.unlink()


@contextmanager
def decompressed_file(memory: Path, file: Path) -> Iterator[None]:
    """As `decompressed_memory`, all of it on the disk meanwhile. Raises `CommandFailed`, as where no space is left."""
    try:
        run_program([*_DECOMPRESS_TO, str(file), "--", str(memory)], timeout_seconds=_COMPRESS_SECONDS)
        yield
    finally:
        file.unlink(missing_ok=True)
