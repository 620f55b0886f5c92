"""kubectl of a POD's own version on this host, in the network namespace that reaches the API server."""

from __future__ import annotations

import resource
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from iecpod.adapters.command_trace import trace_command
from iecpod.adapters.host_programs import ENVIRONMENT
from iecpod.errors import CommandFailed, WaitTimeout
from iecpod.ports import CommandResult

#: What an API server says is kept no further than this.
_MOST_OUTPUT_BYTES = 64 * 1024 * 1024
_TAIL_CHARACTERS = 2000


def host_kubectl_argv(command_prefix: Sequence[str], link: Path, kubeconfig: Path) -> tuple[str, ...]:
    """What comes before its arguments. Without a cache of its own, PODs of equal addresses would share one."""
    options = (f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent / 'kubectl-cache'}")
    return (*command_prefix, str(link), *options)


def link_kubectl(binary: Path, pod_dir: Path) -> Path:
    """A link of that name in the POD's directory: the binary runs the program that it is called as."""
    link = pod_dir / "kubectl"
    if not link.is_symlink() or link.readlink() != binary:
        link.unlink(missing_ok=True)
        with suppress(FileExistsError):  # another run was quicker
            link.symlink_to(binary)
    return link


@dataclass(frozen=True, slots=True)
class LocalKubectl:
    """`HostKubectl`; `argv` is all that comes before its arguments."""

    argv: tuple[str, ...]
    kubeconfig: Path

    def is_ready(self) -> bool:
        return self.kubeconfig.is_file()

    def run(self, arguments: Sequence[str], *, stdin: bytes, timeout_seconds: float) -> CommandResult:
        argv = [*self.argv, *arguments]
        trace_command("host", argv)
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            given.write(stdin)
            given.seek(0)
            with subprocess.Popen(argv, stdin=given, stdout=output, stderr=errors, env=ENVIRONMENT) as process:
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_MOST_OUTPUT_BYTES, _MOST_OUTPUT_BYTES))
                try:
                    returncode = process.wait(timeout_seconds)
                except subprocess.TimeoutExpired as error:
                    raise WaitTimeout(f"kubectl {arguments[0]}", timeout_seconds, _last_line(errors)) from error
                finally:
                    process.kill()
            result = CommandResult(returncode, _text(output), _text(errors))
        if returncode != 0:
            tail = (result.stderr or result.stdout)[-_TAIL_CHARACTERS:]
            raise CommandFailed("localhost", ["kubectl", *arguments], returncode, tail)
        return result


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _last_line(file: IO[bytes]) -> str:
    return "".join(_text(file)[-_TAIL_CHARACTERS:].splitlines()[-1:])
