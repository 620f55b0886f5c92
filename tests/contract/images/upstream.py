"""The outside world on the loopback: an apt archive, an apt repository, a registry and files, for a release of its own.

All is small and made here. Packages hold scripts, and images a layer of a few bytes, for both architectures.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from iecpod.yaml.document import dump_yaml

REGISTRY = "registry.lab.example"
VERSION = "1.30.0"
ARCHITECTURES = ("amd64", "arm64")
KUBEADM_IMAGES = (f"{REGISTRY}/kube-apiserver:v{VERSION}", f"{REGISTRY}/coredns/coredns:v1.11", f"{REGISTRY}/pause:3.9")
CALICO_IMAGE = f"{REGISTRY}/calico/node:v3.32"
IMAGES = (*KUBEADM_IMAGES, "docker.io/library/nginx:stable", CALICO_IMAGE)

#: The programs of the release; each depends on the one behind it, the last on what the archive has in a newer version.
PACKAGES = {"kubeadm": "kubelet", "kubelet": "containerd", "kubectl": "", "containerd": "lab-base (>= 2)"}

_LIST_IMAGES = (
    "#!/bin/sh\n"
    + 'test "$1 $2 $3 $4" = "config images list --config" && test -s "$5" && '
    + "".join(f"echo {image}; " for image in KUBEADM_IMAGES)
)
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Upstream:
    """Serves `files` by path; what is below /v2/ requires a token, as public registries do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.asked.append(self.path)
                upstream.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.gpg = _make_key(directory / "gpg")
        self._publish_packages()
        for reference in IMAGES:
            self.publish_image(reference)
        self.files["/calico.yaml"] = _calico_manifest()
        self._publish_helm()
        (directory / "disk.raw").write_bytes(bytes(1024 * 1024))

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = posixpath.normpath(request.path.partition("?")[0])
        if path == "/token":
            return _send(request, 200, json.dumps({"token": "of-the-lab"}).encode())
        if path.startswith("/v2/") and request.headers.get("Authorization") != "Bearer of-the-lab":
            challenge = f'Bearer realm="{self.url}/token",service="lab",scope="repository:x:pull"'
            return _send(request, 401, b"", {"WWW-Authenticate": challenge})
        content = self.files.get(path)
        return _send(request, 404 if content is None else 200, content or b"")

    def publish_image(self, reference: str) -> None:
        """For both architectures, below an index."""
        name, _, tag = reference.partition("/")[2].rpartition(":")
        entries = []
        for arch in ARCHITECTURES:
            layer = gzip.compress(_tar({"etc/image": f"{reference} {arch}\n".encode()}), mtime=0)
            diff = hashlib.sha256(gzip.decompress(layer)).hexdigest()
            config = {
                "architecture": arch,
                "os": "linux",
                "config": {"Cmd": ["/pause"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
            }
            manifest = {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": self._blob(name, json.dumps(config).encode()),
                "layers": [self._blob(name, layer)],
            }
            content = json.dumps(manifest).encode()
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            self.files[f"/v2/{name}/manifests/{digest}"] = content
            platform = {"os": "linux", "architecture": arch}
            entries.append({"mediaType": _MANIFEST, "digest": digest, "size": len(content), "platform": platform})
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}
        self.files[f"/v2/{name}/manifests/{tag}"] = json.dumps(index).encode()

    def release(self, **changes: object) -> str:
        """A connected release, as YAML."""
        disk = str(self.directory / "disk.raw")
        manifest = self.files["/calico.yaml"]
        data: dict[str, Any] = {
            "name": "lab-made",
            "description": "a connected release of small parts",
            "user": "ubuntu",
            "base_os": "lab1",
            "image": {"type": "file", "location": {"x86_64": disk, "aarch64": disk}},
            "kubernetes_version": VERSION,
            "pause_image": f"{REGISTRY}/pause:3.9",
            "nginx_image": "docker.io/library/nginx:stable",
            "runtime": "containerd",
            "cgroup_driver": "systemd",
            "cnis": ["bridge", "calico"],
            "calico": {
                "manifests": [
                    {
                        "name": "calico",
                        "url": f"{self.url}/calico.yaml",
                        "sha256": hashlib.sha256(manifest).hexdigest(),
                    }
                ]
            },
            "helm": {
                "version": "3.20.2",
                "location": dict.fromkeys(("x86_64", "aarch64"), f"{self.url}/helm.tar.gz"),
                "sha256sums": dict.fromkeys(("x86_64", "aarch64"), f"{self.url}/helm.sha256"),
            },
            "repositories": [
                {
                    "name": "kubernetes",
                    "uri": f"{self.url}/kubernetes/",
                    "suites": ["/"],
                    "components": [],
                    "key_url": f"{self.url}/kubernetes/Release.key",
                }
            ],
            "archive": {
                "mirror": dict.fromkeys(("x86_64", "aarch64"), f"{self.url}/archive"),
                "suites": ["stable"],
                "components": ["main"],
                "keyring": str(self.directory / "archive.gpg"),
            },
            "packages": ["containerd", f"kubeadm={VERSION}-*", f"kubelet={VERSION}-*", f"kubectl={VERSION}-*"],
        }
        return dump_yaml({**data, **changes})

    def mirrors(self) -> list[str]:
        """Options that lead to the registry, which serves all names."""
        return [f"--registry-mirror={name}={self.url}" for name in (REGISTRY, "docker.io")]

    def _blob(self, name: str, content: bytes) -> Mapping[str, object]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.files[f"/v2/{name}/blobs/{digest}"] = content
        return {"digest": digest, "size": len(content)}

    def _publish_packages(self) -> None:
        exported = subprocess.run([*self.gpg, "--export"], capture_output=True, check=True).stdout
        (self.directory / "archive.gpg").write_bytes(exported)
        self.files["/kubernetes/Release.key"] = exported
        kubernetes = self.directory / "kubernetes"
        for package, dependency in PACKAGES.items():
            build_package(kubernetes, package, f"{VERSION}-1", dependency)
        archive = self.directory / "archive"
        build_package(archive / "pool", "lab-base", "1:2.0", "")
        self._publish_flat(kubernetes, "/kubernetes/")
        self._publish_suite(archive, "/archive/")

    def _publish_flat(self, directory: Path, below: str) -> None:
        index = subprocess.run(["dpkg-scanpackages", "."], cwd=directory, capture_output=True, check=True).stdout
        self._publish_tree(directory, below)
        self.files[f"{below}Packages"] = index
        self._publish_signed(below, f"SHA256:\n{_sum(index, 'Packages')}")

    def _publish_suite(self, directory: Path, below: str) -> None:
        index = subprocess.run(["dpkg-scanpackages", "pool"], cwd=directory, capture_output=True, check=True).stdout
        self._publish_tree(directory, below)
        sums = ""
        for arch in ARCHITECTURES:
            self.files[f"{below}dists/stable/main/binary-{arch}/Packages"] = index
            sums += _sum(index, f"main/binary-{arch}/Packages")
        about = f"Suite: stable\nCodename: stable\nComponents: main\nArchitectures: {' '.join(ARCHITECTURES)}\n"
        self._publish_signed(f"{below}dists/stable/", f"{about}SHA256:\n{sums}")

    def _publish_tree(self, directory: Path, below: str) -> None:
        for path in directory.rglob("*.deb"):
            self.files[below + str(path.relative_to(directory))] = path.read_bytes()

    def _publish_signed(self, below: str, text: str) -> None:
        release = f"Date: Thu, 01 Jan 2026 00:00:00 UTC\n{text}".encode()
        sign = [*self.gpg, "--clearsign", "--output", "-"]
        self.files[f"{below}InRelease"] = subprocess.run(sign, input=release, capture_output=True, check=True).stdout

    def _publish_helm(self) -> None:
        content = gzip.compress(_tar({"linux/helm": b"#!/bin/sh\n"}), mtime=0)
        self.files["/helm.tar.gz"] = content
        self.files["/helm.sha256"] = hashlib.sha256(content).hexdigest().encode()


@contextmanager
def serve_upstream(directory: Path) -> Iterator[Upstream]:
    upstream = Upstream(directory)
    thread = threading.Thread(target=upstream.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield upstream
    finally:
        upstream.server.shutdown()
        upstream.server.server_close()
        thread.join()
        subprocess.run(["gpgconf", "--homedir", str(directory / "gpg"), "--kill", "all"], check=True)


def build_package(directory: Path, name: str, version: str, depends: str) -> Path:
    """A package with one program, and a unit where the program is a service."""
    tree = directory / f".{name}"
    (tree / "DEBIAN").mkdir(parents=True)
    fields = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "lab <lab@lab.example>"}
    fields |= {"Depends": depends} if depends else {}
    fields["Description"] = f"{name} of the lab"
    (tree / "DEBIAN/control").write_text("".join(f"{field}: {value}\n" for field, value in fields.items()))
    program = tree / "usr/bin" / name
    program.parent.mkdir(parents=True)
    program.write_text(_LIST_IMAGES if name == "kubeadm" else f"#!/bin/sh\necho {name} {version}\n")
    program.chmod(0o755)
    if name in ("kubelet", "containerd"):
        unit = tree / "lib/systemd/system" / f"{name}.service"
        unit.parent.mkdir(parents=True)
        unit.write_text(f"[Service]\nExecStart=/usr/bin/{name}\n[Install]\nWantedBy=multi-user.target\n")
    target = directory / f"{name}_{version.rpartition(':')[2]}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(target)], check=True, capture_output=True
    )
    return target


def _make_key(home: Path) -> list[str]:
    home.mkdir(mode=0o700)
    argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*argv, "--quick-generate-key", "upstream@lab.example", "ed25519", "sign"], check=True)
    return argv


def _calico_manifest() -> bytes:
    container = {"name": "calico-node", "image": CALICO_IMAGE}
    spec = {"template": {"spec": {"containers": [container]}}}
    return dump_yaml(
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "calico-node"}, "spec": spec}
    ).encode()


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _sum(content: bytes, name: str) -> str:
    return f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"


def _send(
    request: BaseHTTPRequestHandler, status: int, content: bytes, headers: Mapping[str, str] | None = None
) -> None:
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
