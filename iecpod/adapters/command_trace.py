"""What is done on host and nodes, one line each, for the logger `iecpod.command`; silent unless that is at DEBUG.

No secret is in an argv of iecpod's own; user names and passwords in URLs are cut out.
"""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Sequence

_LOG = logging.getLogger("iecpod.command")
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_MOST_CHARACTERS = 400


def trace_command(place: str, argv: Sequence[str]) -> None:
    """`place` is a node's host name or `host`."""
    if _LOG.isEnabledFor(logging.DEBUG):
        trace_call(place, shlex.join(argv))


def trace_call(place: str, what: str) -> None:
    """For what is no command: `place` may also be `libvirt`."""
    text = _URL_CREDENTIALS.sub("***", " ".join(what.split()))
    _LOG.debug("%s: %s", place, text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…")
