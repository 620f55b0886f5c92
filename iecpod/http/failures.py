"""Why a server gave no answer, or not all of it, whatever failed on the way; and whether another try may succeed."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
from collections.abc import Iterator
from contextlib import closing, contextmanager

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


@contextmanager
def explained_failures() -> Iterator[None]:
    """Maps whatever fails on the way to `WebError`."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with closing(error):
            challenge = error.headers.get("WWW-Authenticate", "") or ""
            reason = str(error.reason)[:_MOST_REASON_CHARACTERS]
            is_transient = error.code in _TRANSIENT_STATUSES
            raise WebError(f"{error.code} {reason}", error.code, challenge, is_transient=is_transient) from error
    except http.client.IncompleteRead as error:
        raise WebError("the connection ended in the middle of it", is_transient=True) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", None) or error
        reason = str(cause).strip() or type(error).__name__
        raise WebError(reason[:_MOST_REASON_CHARACTERS], is_transient=_is_transient(cause)) from error


def _is_transient(cause: object) -> bool:
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    return isinstance(cause, _TRANSIENT_ERRORS) and not isinstance(cause, TooSlow)
