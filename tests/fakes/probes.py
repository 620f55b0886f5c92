"""What a node answers to `probe_script`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iecpod.ports import CommandResult

IN_PLACE = "probe=in-place\n"
MISSING = "probe=missing\n"


def in_place_or(stdout: str) -> Callable[[Sequence[str], bytes], CommandResult]:
    """A reply for `sh -c`: all that is probed is in place, and other scripts print `stdout`."""
    return lambda argv, _stdin: CommandResult(0, IN_PLACE if MISSING.strip() in argv[2] else stdout, "")
