"""What iecpod itself fetches for a connected lab: the base image and Helm, from a server on this host's loopback."""

from __future__ import annotations

import functools
import gzip
import hashlib
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from iecpod.ports import BaseImage

#: The same in every run: iecpod keeps what it fetches by its address.
_PORT = 28736
_IMAGE = "noble-server-cloudimg-amd64.img"


@dataclass(frozen=True)
class HostServer:
    directory: Path

    def add_image(self, image: BaseImage) -> str:
        """Its address, which is another for another image."""
        directory = self.directory / image.sha256
        directory.mkdir()
        (directory / _IMAGE).symlink_to(image.path)
        (directory / "SHA256SUMS").write_text(f"{image.sha256} *{_IMAGE}\n")
        return f"http://127.0.0.1:{_PORT}/{image.sha256}/{_IMAGE}"

    def add_helm(self, program: Path, version: str) -> dict[str, str]:
        """What a release says of its archive, which is the same for the same program."""
        archive = self.directory / f"helm-v{version}-linux-amd64.tar.gz"
        member = tarfile.TarInfo("linux-amd64/helm")
        member.mode, member.size = 0o755, program.stat().st_size
        with (
            archive.open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w|") as tar,
            program.open("rb") as content,
        ):
            tar.addfile(member, content)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        return {"location": f"http://127.0.0.1:{_PORT}/{archive.name}", "sha256": digest}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        handler = functools.partial(_Quiet, directory=str(self.directory))
        with ThreadingHTTPServer(("127.0.0.1", _PORT), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield
            finally:
                server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Standard error is pytest's."""
