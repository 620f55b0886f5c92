"""The one way to a web server: http and https, and nothing that either leads on to.

Python's own opener also reads `file:`, `ftp:` and `data:`, and follows a redirect from https to http.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

_SCHEMES = ("http", "https")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def open_url(
    url: str, *, timeout_seconds: float, headers: Mapping[str, str] = _NO_HEADERS, token: str = ""
) -> http.client.HTTPResponse:
    """An answer to GET; proxies are those of the environment. `token` is for this server alone, and not where it leads.

    Raises `ValueError` for any other scheme, and what urllib raises: `URLError`, `HTTPException`, `OSError`.
    """
    if urlsplit(url).scheme not in _SCHEMES:
        raise ValueError("it is not fetched: its address begins neither with http:// nor with https://")
    request = urllib.request.Request(url, headers=dict(headers))
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    answer: http.client.HTTPResponse = _opener().open(request, timeout=timeout_seconds)
    return answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not leads_on(req.full_url, newurl):
            raise urllib.error.URLError(f"it leads on to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def leads_on(url: str, to: str) -> bool:
    """Whether `url` may lead to `to`: what was asked for over https is not taken over anything else."""
    schemes = ("https",) if urlsplit(url).scheme == "https" else _SCHEMES
    return urlsplit(to).scheme in schemes


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener
