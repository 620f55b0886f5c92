"""The proxies of this process' environment, read as curl and Python do: `http_proxy`, `https_proxy`, `no_proxy`."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """`login` is `USER:PASSWORD`, empty where it asks for none."""

    url: str
    login: str = field(default="", repr=False)


def find_proxy(url: str) -> Proxy | None:
    """The one for an address; None where it is reached without. Raises `ValueError` for one that is no URL."""
    asked = urlsplit(url)
    found = urllib.request.getproxies().get(asked.scheme, "")
    if not found or (asked.hostname and urllib.request.proxy_bypass(asked.hostname)):
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    login, _, server = parts.netloc.rpartition("@")
    return Proxy(f"{parts.scheme}://{server}", unquote(login))
