"""Whatever a command reads, it starts no program, opens and changes nothing outside, and ends as the docs say.

The kernel is the witness, so that it holds for libvirt and other libraries of C, too. `IECPOD_TEST_HOSTILE=5000` tries
more cases, and `IECPOD_TEST_HOSTILE_SEED=7` others.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iecpod.errors import ExitCode
from tests.unit.descriptors.broken_pod import ROOT, sound_text
from tests.unit.hostile.hostile_cases import KINDS, Case, Ground
from tests.unit.hostile.hostile_registry import HostileRegistry
from tests.unit.hostile.kernel_watch import Asked, KernelWatch

CASES = int(os.environ.get("IECPOD_TEST_HOSTILE", "240"))
SEED = int(os.environ.get("IECPOD_TEST_HOSTILE_SEED", "1"))
MOST_SECONDS = 20.0
#: What a plan asks of the host; libvirt looks which QEMU there is.
PROGRAMS = {"ip"}
READABLE = tuple(
    str(Path(path).resolve())
    for path in (
        sys.prefix,
        sys.base_prefix,
        ROOT,
        "/usr",
        "/lib",
        "/lib64",
        "/proc",
        "/sys/devices",
        "/etc/iproute2",
        "/etc/ssl/certs",
    )
)
READABLE_FILES = {
    *("/", "/dev/null", "/dev/urandom", "/etc/localtime", "/etc/ld.so.cache", "/etc/passwd", "/etc/group"),
    *("/etc/nsswitch.conf", "/etc/host.conf", "/etc/hosts", "/etc/resolv.conf", "/etc/gai.conf", "/etc/os-release"),
    *("/etc/ssl/openssl.cnf", "/etc/libvirt/libvirt.conf", "/sys/kernel/iommu_groups"),
}
#: Where the nodes of the sound POD would answer.
MGMT, SSH = ipaddress.IPv4Network("172.16.10.0/24"), 22
#: Verbs that print, byte for byte, what other programs read, unless to a terminal.
DOCUMENTS = ("kubeconfig", "export")
ENDS = {int(code) for code in ExitCode} - {ExitCode.BUG, ExitCode.INTERRUPTED}


@dataclass(frozen=True, slots=True)
class Outcome:
    code: Any
    printed: str
    is_document: bool
    seconds: float
    asked: tuple[Asked, ...]


def watch_of(channel: socket.socket) -> KernelWatch:
    try:
        return KernelWatch(channel)
    except (ValueError, OSError):
        pytest.skip("this kernel reports no system calls")


class Child:
    """Runs cases until it is closed; `SystemExit` of it, and silence, are the end of the test."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.hostile.hostile_child", str(theirs.fileno())],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        with ours:
            self._watch = watch_of(ours)

    def run(self, argv: tuple[str, ...], ground: Ground) -> Outcome:
        assert self._process.stdin is not None and self._process.stdout is not None
        case = {"argv": argv, "directory": str(ground.own), "environ": environ_of(ground.own)}
        self._watch.take()
        self._process.stdin.write(json.dumps(case).encode() + b"\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], 4 * MOST_SECONDS)[0], f"it does not end: {argv}"
        answer = json.loads(self._process.stdout.readline())
        printed, is_document = answer["printed"], argv[0] in DOCUMENTS
        return Outcome(answer["code"], printed, is_document, answer["seconds"], tuple(self._watch.take()))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def environ_of(own: Path) -> dict[str, str]:
    directories = {f"IECPOD_{name}_DIR": str(own / name.lower()) for name in ("STATE", "CACHE", "RUNTIME")}
    places = {**directories, "HOME": str(own), "TMPDIR": str(own)}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "no_proxy": "127.0.0.1", **places}


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server whose every answer is another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, random.Random(SEED)), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _serve(listener: socket.socket, rng: random.Random) -> None:
    registry = HostileRegistry(rng)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            try:
                connection.settimeout(2)
                path = connection.recv(65536).partition(b" ")[2].partition(b" ")[0].decode(errors="replace")
                connection.sendall(registry.answer(path) if path.startswith("/v2/") else _answer(rng))
            except OSError:
                continue  # the client has gone


def _answer(rng: random.Random) -> bytes:
    fine = b"HTTP/1.1 200 OK\r\n"
    places = (f"http://127.0.0.1:{rng.choice((1, 22, 65536))}/", "file:///etc/shadow", "/", "x:")
    heads = (
        *(fine, fine, fine, fine + b"Content-Length: 99999999999\r\n", fine + b"Content-Encoding: gzip\r\n"),
        *(fine + b"Transfer-Encoding: chunked\r\n", fine + b"X: y\r\n" * 500, b"HTTP/9.9 200\r\n", b"", b"\x16\x03\1"),
        *(b"HTTP/1.1 404 \x1b[2J\r\n", b"HTTP/1.1 500 x\r\n"),
        *(f"HTTP/1.1 302 x\r\nLocation: {place}\r\n".encode() for place in places),
    )
    sound = (sound_text(name).encode() for name in ("virtual.yaml", "idf-virtual.yaml"))
    return rng.choice(heads) + b"\r\n" + rng.choice((*sound, rng.randbytes(99), b"z\r\n", b"", b"[" * 999))


def outside(asked: Asked, ground: Ground) -> str:
    """What is wrong with it, in words; empty where nothing is."""
    if asked.call.startswith("exec"):
        return "" if asked.paths[0].name in PROGRAMS else f"{asked.call} {asked.paths[0]}"
    if asked.call == "connect":
        return "" if _is_near(asked.address) else f"connect {asked.address.hex()}"
    writes = bool(asked.flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or not asked.call.startswith("open")
    for path in asked.paths:
        if path.is_relative_to(ground.own) or str(path) in ("/dev/null", "/dev/tty"):
            continue
        if writes or not (str(path).startswith(READABLE) or str(path) in READABLE_FILES):
            return f"{asked.call} {path}"
    return ""


def _is_near(address: bytes) -> bool:
    (family,) = struct.unpack_from("H", address)
    if family == socket.AF_INET:
        host, port = ipaddress.IPv4Address(address[4:8]), int.from_bytes(address[2:4], "big")
        return host.is_loopback or (host in MGMT and port == SSH)
    return family in (socket.AF_UNIX, socket.AF_NETLINK, socket.AF_UNSPEC)


def judge(outcome: Outcome, ground: Ground) -> list[str]:
    faults = [outside(asked, ground) for asked in outcome.asked]
    faults += [f"exit code {outcome.code}"] if outcome.code not in ENDS else []
    faults += ["a traceback"] if "Traceback" in outcome.printed or "iecpod: bug" in outcome.printed else []
    faults += ["what nobody gave it"] if "of this host" in outcome.printed or "root:" in outcome.printed else []
    is_printable = outcome.is_document or outcome.printed.replace("\n", "").isprintable()
    faults += [] if is_printable else ["what a terminal obeys"]
    faults += [f"{outcome.seconds:.0f} s"] if outcome.seconds > MOST_SECONDS else []
    return list(dict.fromkeys(filter(None, faults)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_whatever_is_read(kind: Case, child: Child, url: str, tmp_path: Path) -> None:
    outside_dir = tmp_path / "outside"
    outside_dir.mkdir()
    (outside_dir / "secret").write_text("of this host")
    (outside_dir / "program").write_text("#!/bin/sh\ntouch made\n")
    (outside_dir / "program").chmod(0o755)
    found: dict[str, Mapping[str, Any]] = {}
    for number in range(CASES // len(KINDS)):
        ground = Ground(tmp_path / f"case-{number}", outside_dir, url)
        ground.own.mkdir()
        argv = tuple(kind(random.Random(f"{SEED} {kind.__name__} {number}"), ground))
        outcome = child.run(argv, ground)
        for fault in judge(outcome, ground):
            found.setdefault(fault, {"case": number, "argv": argv, "printed": outcome.printed[-2000:]})
    assert found == {}, json.dumps(found, indent=1)
    assert sorted(path.name for path in outside_dir.iterdir()) == ["program", "secret"]


_BY_C = """
import ctypes, os, socket, sys
from tests.unit.hostile.kernel_watch import offer_watch
with socket.socket(fileno=int(sys.argv[1])) as channel:
    offer_watch(channel)
libc = ctypes.CDLL(None)
os.chdir(sys.argv[2])
libc.open(b"secret", os.O_RDONLY)
libc.open(b"link", os.O_WRONLY)
libc.rename(b"link", b"renamed")
libc.system(b"exec true")
with socket.socket() as far:
    far.setblocking(False)
    far.connect_ex(("192.0.2.1", 80))
"""


def test_the_watch_sees_what_libraries_of_c_do(tmp_path: Path) -> None:
    """What the other test relies on."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    (tmp_path / "outside/link").symlink_to("target")
    ours, theirs = socket.socketpair()
    argv = [sys.executable, "-c", _BY_C, str(theirs.fileno()), str(tmp_path / "outside")]
    with subprocess.Popen(argv, cwd=ROOT, pass_fds=[theirs.fileno()]) as process, ours:
        theirs.close()
        watch = watch_of(ours)
        assert process.wait() == 0
    ground = Ground(tmp_path / "own", tmp_path / "outside", "")
    faults = [fault for asked in watch.take() if (fault := outside(asked, ground))]
    place = tmp_path / "outside"
    opened = [f"openat {place}/secret", f"openat {place}/target", f"rename {place}/link"]
    (shell,) = (fault for fault in faults if fault.startswith("execve") and fault.endswith("sh"))
    for fault in (*opened, shell, "connect 02000050c00002010000000000000000"):
        assert fault in faults, faults
