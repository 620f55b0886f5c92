"""Guests that are paused for a moment are resumed even if this process is killed in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from iecpod.adapters.host_programs import ENVIRONMENT

#: Ends without a word where it reads a line. Where the pipe ends without one, whoever held it was killed: libvirt still
#: saves, and takes nothing else for that domain, so it is asked more than once.
_SCRIPT = """
read -r _done && exit
for _ in 1 2 3 4 5 6 7 8 9 10; do
    left=
    for domain; do
        virsh --quiet --connect "$0" resume "$domain" || left=yes
    done
    [ "$left" ] || exit 0
    sleep 3
done
"""


@contextmanager
def resumed_if_killed(uri: str, names: Sequence[str]) -> Iterator[None]:
    """For a block that pauses domains and resumes them itself, however it ends."""
    argv = ["sh", "-c", _SCRIPT, uri, *names]
    guard = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    assert guard.stdin is not None
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            guard.stdin.write(b"done\n")
            guard.stdin.close()
        guard.wait()
