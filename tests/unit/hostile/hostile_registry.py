"""A registry with one image, most of whose answers are sound: clients come far, and meet the rest on the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from typing import Any

from tests.unit.descriptors.broken_pod import edited
from tests.unit.descriptors.mutator import places
from tests.unit.hostile.hostile_cases import hostile_value

_OCI = "application/vnd.oci.image"
_OK = b"HTTP/1.1 200 OK\r\n"


class HostileRegistry:
    """Each pull begins with a tag, and gets an image of its own."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._blobs: dict[str, bytes] = {}

    def answer(self, path: str) -> bytes:
        """To GET of a path below `/v2/`: status, headers and body."""
        if self._rng.random() < 0.05:
            return self._challenge()
        name = path.partition("?")[0].rpartition("/")[2]
        if "/manifests/" in path and not name.startswith("sha256:"):
            body = self._new_image()
        else:
            body = self._blobs.get(name, b"")
        return self._head(body) + b"\r\n" + self._spoiled(body)

    def _new_image(self) -> bytes:
        layer = gzip.compress(_layer())
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": self._kept("config.v1+json", self._json(config)),
            "layers": [self._kept("layer.v1.tar+gzip", layer) for _ in range(self._rng.randint(0, 3))],
        }
        entry = self._kept("manifest.v1+json", self._json(manifest))
        index = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.index.v1+json",
            "manifests": [{**entry, "platform": {"os": "linux", "architecture": "amd64"}}],
        }
        return self._json(index if self._rng.random() < 0.7 else manifest)

    def _kept(self, kind: str, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._blobs[digest] = content
        return {"mediaType": f"{_OCI}.{kind}", "digest": digest, "size": len(content)}

    def _json(self, data: Any) -> bytes:
        """Its digest is right, whatever is in it."""
        data = json.loads(json.dumps(data))
        if self._rng.random() < 0.15:
            place = self._rng.choice([place for place in places(data) if place])
            data = edited(data, place, hostile_value(self._rng))
        return json.dumps(data).encode()

    def _head(self, body: bytes) -> bytes:
        if self._rng.random() < 0.9:
            return _OK + b"Content-Length: %d\r\n" % len(body)
        places = ("file:///etc/shadow", "/", "x:", "http://127.0.0.1:22/", "http://127.0.0.1:65536/")
        return self._rng.choice(
            (
                _OK + b"Content-Length: 99999999999\r\n",
                _OK + b"Transfer-Encoding: chunked\r\n",
                b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\n",
                f"HTTP/1.1 307 x\r\nLocation: {self._rng.choice(places)}\r\n".encode(),
                b"HTTP/1.1 429 \x1b[2J\r\nRetry-After: 9999999\r\n",
            )
        )

    def _challenge(self) -> bytes:
        realm = self._rng.choice(("file:///etc/shadow", "http://127.0.0.1:1/token", "ftp://127.0.0.1/", "", "x" * 9000))
        return f'HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm="{realm}",scope="../x"\r\n\r\n'.encode()

    def _spoiled(self, body: bytes) -> bytes:
        if self._rng.random() < 0.9:
            return body
        return self._rng.choice((b"", b"[" * 9999, self._rng.randbytes(99), body[: len(body) // 2], body + b"\0" * 99))


def _layer() -> bytes:
    """Nothing unpacks it here; whoever did would write outside."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo("../../outside/made")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    return content.getvalue()
