"""-D/--debug: what `adapters.command_trace` logs, on standard error and in the log."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

from iecpod.cli.output import PrintableFormatter

_LOG = logging.getLogger("iecpod.command")


@contextlib.contextmanager
def tracing_commands(enabled: bool) -> Iterator[None]:
    """Lines begin with the time and `+`, as a shell's trace does."""
    if not enabled:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(asctime)s + %(message)s", "%H:%M:%S"))
    level = _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        _LOG.setLevel(level)
        _LOG.removeHandler(handler)
