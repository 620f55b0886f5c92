"""An apt repository: packages in a pool, their index, and a release file that a key of its own signs."""

from __future__ import annotations

import datetime
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

SUITE, COMPONENT = "stable", "main"


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


def index_repository(root: Path, arch: str, key: SigningKey) -> None:
    """Makes `root/dists` for what lies in `root/pool`."""
    index = f"{COMPONENT}/binary-{arch}/Packages"
    dist = root / "dists" / SUITE
    (dist / index).parent.mkdir(parents=True)
    scan = ["dpkg-scanpackages", "--multiversion", "--hash", "sha256", "pool"]
    packages = subprocess.run(scan, cwd=root, capture_output=True, check=True).stdout
    (dist / index).write_bytes(packages)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S UTC")
    (dist / "Release").write_text(
        f"Origin: lab\nSuite: {SUITE}\nCodename: {SUITE}\nArchitectures: {arch}\nComponents: {COMPONENT}\nDate: {now}\n"
        f"SHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} {index}\n"
    )
    key.sign(dist / "Release", dist / "InRelease")
