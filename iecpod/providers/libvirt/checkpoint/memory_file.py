"""Memory of a domain as checkpoints keep it: what libvirt wrote, compressed by zstd.

libvirt itself knows no fast compression (save_image_format in qemu.conf), and would compress while domains are paused.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iecpod.adapters.command_trace import trace_command
from iecpod.adapters.host_programs import ENVIRONMENT, run_program
from iecpod.files.writer import sync_path

#: A quarter remains; with faster levels more does, and beside guests that run they were not faster.
_COMPRESS = ("zstd", "-1", "--quiet", "--force", "-o")
#: The shell opens the pipe, and waits there for its reader; nothing of it outlives this process.
_DECOMPRESS = ("setpriv", "--pdeathsig", "KILL", "sh", "-c", 'exec zstd -dcq -- "$1" > "$2"', "decompress")
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
    argv = [*_DECOMPRESS, str(memory), str(pipe)]
    trace_command("host", argv)
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
