"""busybox as an image: one static program of Debian under the names of the tools that it is."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.build.apt import AptRoot
from iecpod.images.build.debian_labels import debian_labels, version_of_file
from iecpod.images.build.rootfs import image_archives
from iecpod.images.confinement.tool import run_tool
from iecpod.model import Arch
from iecpod.release.release import ImageSource

_PACKAGE = "busybox-static"

#: Tools that need no device and change no host. Debian's busybox has each of them, but for no links.
APPLETS = (
    *("[", "[[", "arch", "ash", "awk", "base64", "basename", "cat", "chgrp", "chmod", "chown", "cmp", "cp", "cut"),
    *("date", "dd", "df", "diff", "dirname", "du", "echo", "egrep", "env", "expr", "false", "fgrep", "find", "fold"),
    *("grep", "gunzip", "gzip", "head", "hexdump", "hostname", "httpd", "id", "ifconfig", "ip", "kill", "killall"),
    *("less", "ln", "ls", "md5sum", "mkdir", "mkfifo", "mknod", "mktemp", "more", "mount", "mv", "nc", "netstat"),
    *("nproc", "nslookup", "od", "paste", "pidof", "ping", "ping6", "printf", "ps", "pwd", "readlink"),
    *("realpath", "rm", "rmdir", "route", "sed", "seq", "sh", "sha1sum", "sha256sum", "sleep", "sort", "stat"),
    *("strings", "stty", "sync", "tail", "tar", "tee", "telnet", "test", "time", "timeout", "top", "touch", "tr"),
    *("traceroute", "true", "truncate", "tty", "umount", "uname", "uniq", "unlink", "unzip", "uptime", "usleep", "vi"),
    *("watch", "wc", "wget", "which", "whoami", "xargs", "xxd", "yes", "zcat"),
)

_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}
_DIRECTORIES = {"bin": 0o755, "etc": 0o755, "root": 0o700, "tmp": 0o1777}


@dataclass(frozen=True, slots=True)
class BusyboxLayer:
    """`labels` say of which package it is."""

    path: Path
    labels: Mapping[str, str]


def ensure_busybox(cache: Cache, image: ImageSource, arch: Arch, apt_mirror: str) -> BusyboxLayer:
    """Of the package of the suite that guests have. Raises `ImageError`."""

    def make(directory: Path) -> Mapping[str, Any]:
        log_path = cache.log_path(f"busybox-{arch.debian}")
        with cache.staging("busybox") as work:
            apt = AptRoot(work / "apt", arch.debian, log_path)
            apt.prepare(image_archives(image, apt_mirror), "deb")
            packages = work / "packages"
            packages.mkdir()
            apt.download((_PACKAGE,), packages)
            (package,) = packages.glob("*.deb")
            unpack = ["dpkg-deb", "--extract", str(package), str(work / "root")]
            run_tool(unpack, purpose=f"unpacking {package.name}", log_path=log_path)
            write_busybox_layer(directory / "layer.tar", find_program(work / "root"))
        return {"package": package.name}

    made = cache.ensure("busybox", busybox_recipe(image, arch), make, f"fetching {_PACKAGE}")
    path, version = made.path / "layer.tar", version_of_file(str(made.facts["package"]))
    return BusyboxLayer(path, debian_labels(path, image.suite, _PACKAGE, version))


def busybox_recipe(image: ImageSource, arch: Arch) -> dict[str, Any]:
    return {"version": 1, "suite": image.suite, "arch": arch.debian, "applets": list(APPLETS)}


def find_program(root: Path) -> Path:
    """In the tree of the package: in /usr since Debian 13, whose /bin is a link of another package."""
    for path in ("usr/bin/busybox", "bin/busybox"):
        if (root / path).is_file():
            return root / path
    raise ImageError(f"the package {_PACKAGE} has no /bin/busybox and no /usr/bin/busybox")


def write_busybox_layer(path: Path, program: Path) -> None:
    """The same bytes for the same program."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, mode in _DIRECTORIES.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, text in _ACCOUNTS.items():
            _add_file(tar, name, text.encode(), 0o644)
        _add_file(tar, "bin/busybox", program.read_bytes(), 0o755)
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = mode, len(content)
    tar.addfile(entry, io.BytesIO(content))
