"""Descriptors over HTTP: bounded in size and time."""

from __future__ import annotations

import http.client
import time
import urllib.error

from iecpod.web import open_url

_TIMEOUT_SECONDS = 30.0


class FetchFailed(Exception):
    """The text says why, `remedy` what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


def fetch(uri: str, max_bytes: int) -> bytes:
    """What an http or https URI holds, cut one byte after `max_bytes`. Raises `FetchFailed`."""
    headers = {"User-Agent": "iecpod", "Accept": "*/*"}
    try:
        with open_url(uri, timeout_seconds=_TIMEOUT_SECONDS, headers=headers) as response:
            return _read(response, max_bytes)
    except urllib.error.HTTPError as error:
        remedy = "check lab, POD and base URI (-b)" if error.code == 404 else "check the base URI (-b) and your access"
        raise FetchFailed(f"the server answers {error.code} {error.reason}", remedy) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", None) or error).strip()
        raise FetchFailed(f"it cannot be fetched: {reason}", "check the base URI (-b) and the network") from error


def _read(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    """In bounded time even from a server that dribbles."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    content = b""
    while len(content) <= max_bytes and (chunk := response.read1(1 << 16)):
        content += chunk
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of it came within {_TIMEOUT_SECONDS:.0f} s")
    return content
