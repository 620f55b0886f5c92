"""Registries on the loopback that answer as good and bad ones do."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.archives.docker_archive import read_image_ids
from iecpod.images.fetch.container_registry import Registries
from iecpod.images.fetch.pulled_images import pull_image
from iecpod.model import Arch
from tests.fakes import FakeClock, RecordingReporter

LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def described(content: bytes) -> dict[str, object]:
    return {"digest": digest_of(content), "size": len(content)}


class Registry:
    """Answers of `files` by path; `moved` leads elsewhere, `challenge` is what is asked of who brings no token."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.challenge = ""
        self.tokens: list[tuple[str, str]] = []
        #: after how many bytes the next answer ends, by path; and the parts that were asked for
        self.breaks: dict[str, int] = {}
        self.parts: list[tuple[str, str]] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, authorization = request.path, request.headers.get("Authorization", "")
        self.tokens.append((path, authorization))
        status, content, headers = 200, self.files.get(path), {}
        if path in self.moved:
            status, headers = 307, {"Location": self.moved[path]}
        elif self.challenge and path.startswith("/v2/") and not authorization:
            status, headers = 401, {"WWW-Authenticate": self.challenge}
        elif content is None:
            status = 404
        if status == 200 and (part := request.headers.get("Range")):
            self.parts.append((path, part))
            first = int(part.removeprefix("bytes=").removesuffix("-"))
            assert content is not None
            headers = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
            status, content = 206, content[first:]
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("ETag", f'"{path}"')
        request.send_header("Content-Length", str(len(content or b"")))
        request.end_headers()
        request.wfile.write((content or b"")[: self.breaks.pop(path, None) if status == 200 else None])

    def publish(self, name: str, arch: str, layers: tuple[bytes, ...] = (b"layer",)) -> str:
        """An image of one architecture, tagged `1`; returns the digest of its manifest."""
        config = json.dumps({"architecture": arch, "os": "linux"}).encode()
        for content in (config, *layers):
            self.files[f"/v2/{name}/blobs/{digest_of(content)}"] = content
        manifest: dict[str, Any] = {"schemaVersion": 2, "config": described(config)}
        manifest["layers"] = [described(layer) for layer in layers]
        content = json.dumps(manifest).encode()
        self.files[f"/v2/{name}/manifests/1"] = self.files[f"/v2/{name}/manifests/{digest_of(content)}"] = content
        return digest_of(content)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    registry = Registry()
    thread = threading.Thread(target=registry.server.serve_forever, args=(0.02,))
    thread.start()
    yield registry
    registry.server.shutdown()
    registry.server.server_close()
    thread.join()


def refusal(registry: Registry, reference: str = "127.0.0.1:1/a:1", arch: Arch = Arch.X86_64) -> ImageError:
    """Upstream itself, a port without a listener, is asked last, and refuses the connection."""
    with pytest.raises(ImageError) as caught:
        Registries({"127.0.0.1:1": registry.url}, FakeClock()).find(reference, arch)
    return caught.value


def test_an_image_is_kept_under_its_digest(registry: Registry, tmp_path: Path) -> None:
    digest = registry.publish("a", "amd64", (b"one", b"two", b"one"))
    cache, registries = Cache(tmp_path, RecordingReporter()), Registries({"127.0.0.1:1": registry.url}, FakeClock())
    image = pull_image(cache, registries, "127.0.0.1:1/a:1", Arch.X86_64)
    assert (image.digest, image.archive.is_file()) == (digest, True)
    asked = len(registry.tokens)
    assert pull_image(cache, registries, "127.0.0.1:1/a:1", Arch.X86_64) == image
    assert [path for path, _ in registry.tokens[asked:] if "/blobs/" in path and b"one" in registry.files[path]] == []
    newer = registry.publish("a", "amd64", (b"three",))
    assert pull_image(cache, registries, "127.0.0.1:1/a:1", Arch.X86_64).digest == newer


def test_an_image_that_is_named_by_digest_is_that_image_whatever_its_tag_has_become(
    registry: Registry, tmp_path: Path
) -> None:
    digest = registry.publish("a", "amd64", (b"one",))
    registry.publish("a", "amd64", (b"two",))
    cache, registries = Cache(tmp_path, RecordingReporter()), Registries({"127.0.0.1:1": registry.url}, FakeClock())
    image = pull_image(cache, registries, f"127.0.0.1:1/a:1@{digest}", Arch.X86_64)
    assert (image.reference, image.digest) == ("127.0.0.1:1/a:1", digest)
    assert read_image_ids(image.archive).keys() == {"127.0.0.1:1/a:1"}
    registry.files[f"/v2/a/manifests/{digest}"] = registry.files["/v2/a/manifests/1"]
    assert f"/v2/a/manifests/{digest}: its digest is sha256:" in refusal(registry, f"127.0.0.1:1/a:1@{digest}").cause


def test_a_mirror_with_a_path_is_asked_below_it(registry: Registry) -> None:
    registry.publish("a", "amd64")
    registry.files = {path.replace("/v2/", "/hub/v2/"): content for path, content in registry.files.items()}
    found = Registries({"docker.io": f"{registry.url}/hub/v2/"}).find("docker.io/a:1", Arch.X86_64)
    assert found.base == f"{registry.url}/hub/v2/a"


def test_all_servers_that_were_asked_are_reported(registry: Registry) -> None:
    error = refusal(registry)
    assert error.cause.startswith(f"{registry.url}/v2/a/manifests/1: 404 Not Found; https://127.0.0.1:1/v2/a/manifests")
    assert "--registry-mirror" in error.remedy


def test_an_image_of_another_architecture_is_not_taken(registry: Registry) -> None:
    registry.publish("a", "amd64")
    assert "127.0.0.1:1/a:1 is for amd64, not for arm64" in refusal(registry, arch=Arch.AARCH64).cause
    digest = registry.publish("a", "amd64")
    entry = {"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}}
    registry.files["/v2/a/manifests/1"] = json.dumps({"mediaType": LIST, "manifests": [entry]}).encode()
    assert "127.0.0.1:1/a:1 is not there for arm64" in refusal(registry, arch=Arch.AARCH64).cause
    assert Registries({"127.0.0.1:1": registry.url}, FakeClock()).find("127.0.0.1:1/a:1", Arch.X86_64).digest == digest


def test_bytes_that_are_not_of_their_digest_are_refused(registry: Registry, tmp_path: Path) -> None:
    digest = registry.publish("a", "amd64")
    path = f"/v2/a/blobs/{digest_of(b'layer')}"
    registry.files[path] = b"other"  # as long as the layer
    registries = Registries({"127.0.0.1:1": registry.url}, FakeClock())
    with pytest.raises(ImageError) as caught:
        pull_image(Cache(tmp_path, RecordingReporter()), registries, "127.0.0.1:1/a:1", Arch.X86_64)
    assert caught.value.cause == f"{registry.url}{path}: its digest is {digest_of(b'other')}"
    assert not list((tmp_path / "pulled-images").glob("*"))
    entry = {"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}}
    registry.files["/v2/a/manifests/1"] = json.dumps({"manifests": [entry]}).encode()
    registry.files[f"/v2/a/manifests/{digest}"] += b" "
    assert "its digest is sha256:" in refusal(registry).cause


def test_a_layer_is_resumed_with_the_token(registry: Registry, tmp_path: Path) -> None:
    registry.publish("a", "amd64")
    registry.challenge = f'Bearer realm="{registry.url}/token"'
    registry.files["/token?"] = b'{"token": "secret"}'
    registries = Registries({"127.0.0.1:1": registry.url}, FakeClock())
    image = registries.find("127.0.0.1:1/a:1", Arch.X86_64)
    path = f"/v2/a/blobs/{digest_of(b'layer')}"
    registry.breaks[path] = 3
    registries.fetch_layer(image, image.layers[0], tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == b"layer"
    assert registry.parts == [(path, "bytes=3-")]
    assert registry.tokens[-1] == (path, "Bearer secret")


def test_servers_that_do_not_answer_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    clock = FakeClock()
    registries = Registries({"127.0.0.1:1": "http://127.0.0.1:2"}, clock)
    for name in ("a", "b"):
        with pytest.raises(ImageError, match=r"127\.0\.0\.1:2.*Connection refused.*127\.0\.0\.1:1.*Connection refused"):
            registries.find(f"127.0.0.1:1/{name}:1", Arch.X86_64)
    assert clock.now() == 31.0, "twice the pauses: once for the mirror, once for the registry itself"


def test_a_token_goes_to_its_registry_alone(registry: Registry, tmp_path: Path) -> None:
    """Blobs are often redirected to another server, which must not see it."""
    registry.publish("a", "amd64")
    registry.challenge = f'Bearer realm="{registry.url}/token",service="s",scope="repository:a:pull"'
    registry.files["/token?service=s&scope=repository%3Aa%3Apull"] = b'{"access_token": "secret"}'
    path = f"/v2/a/blobs/{digest_of(b'layer')}"
    registry.files["/elsewhere"] = registry.files.pop(path)
    registry.moved[path] = f"{registry.url}/elsewhere"
    registries = Registries({"127.0.0.1:1": registry.url}, FakeClock())
    pull_image(Cache(tmp_path, RecordingReporter()), registries, "127.0.0.1:1/a:1", Arch.X86_64)
    assert (path, "Bearer secret") in registry.tokens
    assert [token for asked, token in registry.tokens if asked == "/elsewhere"] == [""]
    assert len([asked for asked, _ in registry.tokens if asked.startswith("/token")]) == 1


@pytest.mark.parametrize("challenge", ['Basic realm="x"', 'Bearer realm="file:///etc/passwd"', "Bearer"])
def test_a_registry_that_requires_a_password(registry: Registry, challenge: str) -> None:
    registry.publish("a", "amd64")
    registry.challenge = challenge
    assert any(text in refusal(registry).cause for text in ("401 Unauthorized", "requires a password"))


@pytest.mark.parametrize(
    ("manifest", "cause"),
    [
        (b"<html>", "is not a manifest"),
        (b"[]", "is not a manifest"),
        (b'{"schemaVersion": 1, "fsLayers": []}', "the manifest of 1 is of an old form"),
        (b'{"config": {"digest": "sha512:00"}, "layers": []}', "names blobs by other digests than SHA-256"),
        (b'{"config": {"digest": "sha256:../../x"}, "layers": []}', "names blobs by other digests than SHA-256"),
        (b'{"config": [], "layers": []}', "is not a manifest: config: an object is expected, not a list"),
        (b'{"config": {"digest": 7}, "layers": []}', "is not a manifest: config.digest: a text is expected"),
        (b'{"config": {}, "layers": {}}', "is not a manifest: config: `digest` is missing"),
        (b'{"manifests": 5}', "is not a manifest: manifests: a list is expected"),
        (b'{"manifests": [5]}', "is not a manifest: manifests[0]: an object is expected"),
        (b'{"manifests": [{"platform": []}]}', "is not a manifest: manifests[0].platform: an object is expected"),
        (b'{"mediaType": {}}', "is not a manifest: mediaType: a text is expected"),
        (b"[" * 100_000, "is not a manifest: nested deeper than 32 levels"),
        (b"[" + b"{}," * 1_000_000 + b"{}]", "is not a manifest: more than 500000 values"),
        (b" " * (4 * 1024 * 1024 + 1), "it has more than 4194304 bytes"),
    ],
)
def test_what_is_no_manifest(registry: Registry, manifest: bytes, cause: str) -> None:
    registry.files["/v2/a/manifests/1"] = manifest
    assert cause in refusal(registry).cause


@pytest.mark.parametrize(
    ("config", "size", "cause"),
    [
        (b"[]", 2, "is not the configuration of an image: an object is expected, not a list"),
        (b'{"architecture": ["amd64"]}', 27, "architecture: a text is expected, not a list"),
        (b"{}", 2, "is for no architecture, not for amd64"),
        (b"{}", 3, "it does not have the 3 bytes that it should have"),
        (b"{}", 1, "it does not have the 1 bytes that it should have"),
        (b"{}", 400 * 1024 * 1024, "config has 419430400 bytes, and at most 4194304 are taken"),
        (b"{}", -1, "config has -1 bytes"),
        (b"{}", "2", "config.size: an integer is expected, not a text"),
        (b" " * (4 * 1024 * 1024 + 1), None, "it has more than 4194304 bytes"),
    ],
)
def test_a_configuration_that_is_not_as_it_was_said(
    registry: Registry, config: bytes, size: object, cause: str
) -> None:
    manifest = {"config": {"digest": digest_of(config), "size": size}, "layers": []}
    registry.files[f"/v2/a/blobs/{digest_of(config)}"] = config
    registry.files["/v2/a/manifests/1"] = json.dumps(manifest).encode()
    assert cause in refusal(registry).cause


def test_a_layer_has_the_size_that_its_manifest_says(registry: Registry, tmp_path: Path) -> None:
    registry.publish("a", "amd64")
    registry.files[f"/v2/a/blobs/{digest_of(b'layer')}"] = b"layer" * 1000
    registries = Registries({"127.0.0.1:1": registry.url}, FakeClock())
    with pytest.raises(ImageError, match="it does not have the 5 bytes that it should have"):
        pull_image(Cache(tmp_path, RecordingReporter()), registries, "127.0.0.1:1/a:1", Arch.X86_64)
    assert not list((tmp_path / "pulled-images").glob("*"))


@pytest.mark.parametrize("shown", [b"[]", b'{"token": 5}', b"x", b'{"token": "a\\r\\nX: y"}', b" " * 2_000_000])
def test_an_odd_token_is_a_refusal(registry: Registry, shown: bytes) -> None:
    registry.publish("a", "amd64")
    registry.challenge = f'Bearer realm="{registry.url}/token"'
    registry.files["/token?"] = shown
    assert refusal(registry).cause.startswith(registry.url)


def test_a_long_challenge_is_looked_at_in_time(registry: Registry) -> None:
    registry.publish("a", "amd64")
    registry.challenge = "Bearer " + "a" * 60_000
    assert "requires a password" in refusal(registry).cause


@pytest.mark.parametrize("reference", ["127.0.0.1:1/a", "a:1", "127.0.0.1:1/a@sha256:" + "0" * 64, "x y/a:1"])
def test_a_name_without_registry_or_tag(registry: Registry, reference: str) -> None:
    assert refusal(registry, reference).cause == f"{reference} is not the name of an image: REGISTRY/NAME:TAG"
