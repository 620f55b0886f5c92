"""gpg with keys that tests make."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Gpg:
    """gpg with keys of its own, `first` and `second`, and no agent that outlives a command."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self._home = home
        for name, algorithm in (("first", "rsa2048"), ("second", "ed25519")):
            self.run("--quick-generate-key", f"{name}@lab.example", algorithm, "sign")

    def run(self, *argv: str, stdin: bytes = b"") -> bytes:
        gpg = ["gpg", "--homedir", str(self._home), "--batch", "--quiet", "--passphrase", ""]
        try:
            argv = (*gpg, "--pinentry-mode", "loopback", *argv)
            return subprocess.run(argv, input=stdin, capture_output=True, check=True).stdout
        finally:
            subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=True)

    def sign(self, content: bytes, *names: str) -> bytes:
        """A detached signature by each, in armour."""
        return self.run("--armor", "--detach-sign", *(f"--local-user={name}" for name in names), stdin=content)

    def fingerprints(self, *names: str) -> tuple[str, ...]:
        lines = self.run("--list-keys", "--with-colons", *names).decode().splitlines()
        follows_key = [index + 1 for index, line in enumerate(lines) if line.startswith("pub:")]
        return tuple(lines[index].split(":")[9] for index in follows_key)


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpg]:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    yield Gpg(tmp_path_factory.mktemp("keys") / "gpg")
