"""apt repositories: those with keys of their own, and the part of the distribution's archive that nodes ask for."""

from __future__ import annotations

import datetime
import hashlib
import lzma
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from iecpod.images.build.apt import AptSuite

#: apt keeps the epoch of a version in names of files; archives do not.
_EPOCH = re.compile(r"_\d+%3a")


@dataclass(frozen=True)
class SigningKey:
    """A fresh key pair in a directory of its own. No agent of it outlives a call."""

    home: Path

    @classmethod
    def make(cls, home: Path) -> SigningKey:
        home.mkdir(mode=0o700)
        key = cls(home)
        key._gpg("--quick-generate-key", f"{home.name}@lab.example", "rsa2048", "sign")
        return key

    def export(self, path: Path) -> Path:
        """The public key, armoured, as sites of repositories offer it."""
        self._gpg("--armor", "--output", str(path), "--export")
        return path

    def sign(self, text: Path, signed: Path) -> None:
        self._gpg("--clearsign", "--output", str(signed), str(text))

    def _gpg(self, *arguments: str) -> None:
        options = ["--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
        try:
            subprocess.run(["gpg", *options, *arguments], check=True)
        finally:
            subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)


def index_repository(root: Path, arch: str, key: SigningKey, suite: str = "", component: str = "") -> None:
    """Indexes what is in `root/pool`: below `root/dists`, or beside it where there is no suite."""
    dist = root / "dists" / suite if suite else root
    index = f"{component}/binary-{arch}/Packages" if suite else "Packages"
    (dist / index).parent.mkdir(parents=True, exist_ok=True)
    scan = ["dpkg-scanpackages", "--multiversion", "--hash", "sha256", "pool"]
    packages = subprocess.run(scan, cwd=root, capture_output=True, check=True).stdout
    (dist / index).write_bytes(packages)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S UTC")
    fields = {
        "Origin": "lab",
        "Suite": suite,
        "Codename": suite,
        "Architectures": arch,
        "Components": component,
        "Date": now,
        "SHA256": f"\n {hashlib.sha256(packages).hexdigest()} {len(packages)} {index}",
    }
    (dist / "Release").write_text("".join(f"{name}: {value}\n" for name, value in fields.items() if value))
    key.sign(dist / "Release", dist / "InRelease")


def mirror_archives(archives: Sequence[AptSuite], arch: str, debs: Sequence[Path], root: Path) -> None:
    """The indexes of those archives as their keys have signed them, and `debs` where these indexes say, below `root`.

    A URL's path is the one below `root`. apt fetches, by the machine's own proxies; of several versions of an index it
    asks for the one with the release file's digest, which is therefore the only name that is served.
    """
    fetched = {_EPOCH.sub("_", deb.name): deb for deb in debs}
    for archive in archives:
        site = root / urlsplit(archive.mirror).path.strip("/")
        for suite in archive.suites:
            index = _mirror_suite(archive.mirror, suite, arch, site)
            for filename in re.findall(r"^Filename: (\S+)$", index, re.MULTILINE):
                if deb := fetched.pop(filename.rpartition("/")[2], None):
                    (site / filename).parent.mkdir(parents=True, exist_ok=True)
                    deb.rename(site / filename)
    assert not fetched, f"no archive has {', '.join(fetched)}"


def _mirror_suite(mirror: str, suite: str, arch: str, site: Path) -> str:
    """The suite's index of packages."""
    dist = site / "dists" / suite
    directory = dist / f"main/binary-{arch}/by-hash/SHA256"
    directory.mkdir(parents=True)
    _download(f"{mirror}/dists/{suite}/InRelease", dist / "InRelease")
    name = f"main/binary-{arch}/Packages.xz"
    listed = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(name)}$", (dist / "InRelease").read_text(), re.MULTILINE)
    assert listed, f"{mirror} {suite} has no {name}"
    packages = directory / listed[1]
    _download(f"{mirror}/dists/{suite}/{name}", packages, f"SHA256:{listed[1]}")
    return lzma.decompress(packages.read_bytes()).decode()


def _download(url: str, path: Path, *digest: str) -> None:
    subprocess.run(["/usr/lib/apt/apt-helper", "download-file", url, str(path), *digest], check=True)
