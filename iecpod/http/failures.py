"""Why a server gave no answer, or not all of it, whatever failed on the way; and whether another try may succeed."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

_MOST_REASON_CHARACTERS = 200
#: RFC 9110 and RFC 6585: the server itself says that a later request may succeed, or that it did not get this one.
_TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)
_TRANSIENT_ERRORS = (TimeoutError, ConnectionError, ssl.SSLEOFError)


class WebError(Exception):
    """Why there is no answer, or not all of it; `status` is what the server answered instead, 0 where that was nothing.

    `challenge` is the server's WWW-Authenticate. `is_transient`: the same request may succeed in a moment.
    """

    def __init__(self, cause: str, status: int = 0, challenge: str = "", *, is_transient: bool = False) -> None:
        super().__init__(cause)
        self.status = status
        self.challenge = challenge
        self.is_transient = is_transient


class WrongSize(WebError):
    pass


class TooSlow(TimeoutError):
    """The whole time is up: another try would take as long."""


def check_status(response: BaseHTTPResponse) -> None:
    """Raises `WebError` for each but the 2xx."""
    if not 200 <= response.status < 300:
        reason = (response.reason or "")[:_MOST_REASON_CHARACTERS]
        challenge = response.headers.get("WWW-Authenticate", "")
        is_transient = response.status in _TRANSIENT_STATUSES
        raise WebError(f"{response.status} {reason}", response.status, challenge, is_transient=is_transient)


@contextmanager
def explained_failures() -> Iterator[None]:
    """Maps whatever fails on the way to `WebError`."""
    try:
        yield
    except (HTTPError, OSError, http.client.HTTPException, ValueError) as error:
        cause = _find_cause(error)
        if isinstance(cause, http.client.IncompleteRead):
            raise WebError("the connection ended in the middle of it", is_transient=True) from error
        reason = str(cause).strip() or type(cause).__name__
        raise WebError(reason[:_MOST_REASON_CHARACTERS], is_transient=_is_transient(cause)) from error


def _find_cause(error: Exception) -> Exception:
    """What urllib3's errors are about: it has one of its own for each of Python's, which it holds."""
    while isinstance(error, HTTPError):
        held = (error.__cause__, *reversed(error.args))
        below = next((one for one in held if isinstance(one, Exception)), None)
        if below is None:
            break
        error = below
    return error


def _is_transient(cause: Exception) -> bool:
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    return isinstance(cause, _TRANSIENT_ERRORS) and not isinstance(cause, TooSlow)
