"""What apt makes of the files that nodes are given, asked of the apt of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from iecpod.images.fetch.openpgp import key_ring
from iecpod.release.mirrors import Supply
from iecpod.release.release import AptRepository
from iecpod.render.mirror_files import render_apt_conf
from iecpod.render.node_files import render_apt_source


def test_apt_finds_its_proxy(tmp_path: Path) -> None:
    supply = Supply(http_proxy="http://proxy.example:3128", no_proxy=("localhost", "172.16.0.0/16", "mirror.example"))
    (tmp_path / "apt.conf").write_text(render_apt_conf(supply))
    dump = subprocess.run(
        ["apt-config", "dump", "--format=%f=%v%n", "Acquire::http::Proxy"],
        env={**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert dump.stdout.splitlines() == [
        "Acquire::http::Proxy=http://proxy.example:3128",
        "Acquire::http::Proxy::localhost=DIRECT",
        "Acquire::http::Proxy::mirror.example=DIRECT",
    ]


@pytest.fixture
def gpg(tmp_path: Path) -> list[str]:
    """gpg with a key of its own, and no agent that outlives the test."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*argv, "--quick-generate-key", "repository@lab.example", "ed25519", "sign"], check=True)
    return argv


def make_repository(directory: Path, gpg: list[str]) -> AptRepository:
    """A flat repository, as those of pkgs.k8s.io are; it holds no packages."""
    directory.mkdir()
    (directory / "Packages").write_bytes(b"")
    digest = hashlib.sha256(b"").hexdigest()
    (directory / "Release").write_text(f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {digest} 0 Packages\n")
    sign = ["--clearsign", "--output", str(directory / "InRelease"), str(directory / "Release")]
    subprocess.run([*gpg, *sign], check=True)
    return AptRepository(name="lab", uri=f"file:{directory}", suites=("./",), components=(), key_url="x")


@pytest.mark.parametrize("armoured", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_apt_takes_a_repository_that_its_own_key_signs(
    tmp_path: Path, gpg: list[str], armoured: bool, known: bool
) -> None:
    repository = make_repository(tmp_path / "repository", gpg)
    export = [*gpg, *(["--armor"] if armoured else []), "--export"]
    exported = subprocess.run(export, capture_output=True, check=True).stdout
    subprocess.run(["gpgconf", "--homedir", str(tmp_path / "gpg"), "--kill", "all"], check=True)
    source = render_apt_source(repository)
    key = tmp_path / "lab.gpg"
    root = tmp_path / "root"
    for path in ("etc/apt/sources.list.d", "etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial", "var/cache/apt"):
        (root / path).mkdir(parents=True)
    key.write_bytes(key_ring(exported) if known else b"")
    (root / source.path.lstrip("/")).write_text(source.text.replace(source.key_path, str(key)))
    update = ["apt-get", "update", "--error-on=any", "-o", "APT::Sandbox::User=", "-o", "Dir::State::status=/dev/null"]
    places = [
        ("Dir::Etc", root / "etc/apt"),
        ("Dir::State", root / "var/lib/apt"),
        ("Dir::Cache", root / "var/cache/apt"),
    ]
    done = subprocess.run(
        [*update, *(word for name, path in places for word in ("-o", f"{name}={path}"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is known, done.stdout + done.stderr
    assert ("NO_PUBKEY" in done.stderr or "not signed" in done.stderr) is not known, done.stderr
