"""Descriptors over HTTP: bounded in size and time."""

from __future__ import annotations

import sys

from iecpod.http.client import Patience, Size, open_url
from iecpod.http.failures import WebError

_PATIENCE = Patience(seconds=30.0, slowest_bytes_a_second=float("inf"), stalled_seconds=30.0)


class FetchFailed(Exception):
    """The text says why, `remedy` what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


def fetch(uri: str, max_bytes: int) -> bytes:
    """What an http or https URI holds, cut one byte after `max_bytes`. Raises `FetchFailed`."""
    content = b""
    try:
        with open_url(uri, Size(most_bytes=sys.maxsize), patience=_PATIENCE) as answer:
            pieces = answer.pieces()
            while len(content) <= max_bytes and (piece := next(pieces, b"")):
                content += piece
        return content[: max_bytes + 1]
    except WebError as error:
        if error.status:
            is_missing = error.status == 404
            remedy = "check lab, POD and base URI (-b)" if is_missing else "check the base URI (-b) and your access"
            raise FetchFailed(f"the server answers {error}", remedy) from error
        raise FetchFailed(f"it cannot be fetched: {error}", "check the base URI (-b) and the network") from error
