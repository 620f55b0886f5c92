"""Helm: from a site of our own on loopback to a node that answers from a script."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from iecpod.deploy.phases.helm import HelmPhase
from iecpod.errors import ImageError
from iecpod.images.fetch.helm import fetch_helm
from iecpod.model import Arch
from iecpod.release.file import load_release
from iecpod.release.release import HelmSource
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools
from tests.unit.conftest import make_release
from tests.unit.images.fetch.test_image_fetch import Site, site

__all__ = ["site"]

ROOT = Path(__file__).parents[4]


def _archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in names:
            content = f"program {name}".encode()
            entry = tarfile.TarInfo(f"linux-amd64/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _publish(site: Site, archive: bytes, sums: str = "", *, tiller: bool = False) -> HelmSource:
    site.files["/helm.tar.gz"] = archive
    site.files["/helm.sha256"] = (sums or hashlib.sha256(archive).hexdigest()).encode()
    here = {Arch.X86_64: site.url("/helm.tar.gz")}
    sums_of = {Arch.X86_64: site.url("/helm.sha256")}
    return HelmSource(version="3.20.2", location=here, sha256sums=sums_of, tiller=tiller)


def _fetch(source: HelmSource, directory: Path, arch: Arch = Arch.X86_64) -> tuple[Path, ...]:
    return fetch_helm(source, arch, directory, RecordingReporter())


def test_programs_are_fetched_once(site: Site, tmp_path: Path) -> None:
    source = _publish(site, _archive("LICENSE", "helm", "tiller"), tiller=True)
    helm, tiller = _fetch(source, tmp_path)
    assert (helm.name, tiller.name) == ("helm", "tiller")
    assert helm.read_text() == "program helm" and helm.stat().st_mode & 0o777 == 0o755
    site.files.clear()
    assert _fetch(source, tmp_path) == (helm, tiller)


@pytest.mark.parametrize(
    ("archive", "sums", "complaint"),
    [
        (_archive("helm"), "0" * 64 + "  helm.tar.gz\n", "its SHA-256 is"),
        (_archive("helm"), "<html>", "holds no SHA-256"),
        (_archive("LICENSE"), "", "holds no program helm"),
        (b"no archive", "", "is not an archive"),
    ],
    ids=["another digest", "no digest", "no program", "no archive"],
)
def test_what_is_not_as_it_should_be_is_not_kept(
    site: Site, tmp_path: Path, archive: bytes, sums: str, complaint: str
) -> None:
    with pytest.raises(ImageError, match=complaint):
        _fetch(_publish(site, archive, sums), tmp_path)
    assert not [path for path in (tmp_path / "helm").glob("*/helm")]


def _tar_with(header: tarfile.TarInfo, content: bytes = b"") -> bytes:
    return gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + content + bytes(1024))


def _entry(size: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo("linux-amd64/helm")
    entry.size, entry.type = size, kind
    return entry


@pytest.mark.parametrize(
    ("archive", "complaint"),
    [
        (_tar_with(_entry(1 << 40)), "more than 536870912 bytes"),
        (_tar_with(_entry(512, tarfile.GNUTYPE_SPARSE), bytes(512)), "a file with holes"),
        (_tar_with(_entry(-512)), "a size is negative"),
        (_archive("helm")[:-30], "is not an archive"),
    ],
    ids=["large", "sparse", "negative", "torn"],
)
def test_an_archive_that_would_take_what_there_is(site: Site, tmp_path: Path, archive: bytes, complaint: str) -> None:
    with pytest.raises(ImageError, match=complaint):
        _fetch(_publish(site, archive), tmp_path)


def test_the_digest_of_the_release_is_what_counts(site: Site, tmp_path: Path) -> None:
    source = _publish(site, _archive("helm"), "0" * 64)
    digest = hashlib.sha256(site.files["/helm.tar.gz"]).hexdigest()
    (helm,) = _fetch(dataclasses.replace(source, sha256={Arch.X86_64: digest}), tmp_path)
    assert helm.read_text() == "program helm"
    with pytest.raises(ImageError, match=f"its SHA-256 is {digest}, but the release says {'1' * 64}"):
        _fetch(dataclasses.replace(source, sha256={Arch.X86_64: "1" * 64}), tmp_path)


def test_an_architecture_that_the_release_lacks(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no Helm for aarch64"):
        _fetch(_publish(site, _archive("helm")), tmp_path, Arch.AARCH64)


def _phase(shell: FakeShell, version: str | None, programs: tuple[Path, ...] = ()) -> HelmPhase:
    source = HelmSource(version=version, location={}) if version else None
    release = dataclasses.replace(make_release(), helm=source)
    return HelmPhase(release, shell, lambda: programs, RecordingReporter(), fake_phase_tools().waits)


@pytest.mark.parametrize(
    ("version", "argv", "shown", "seen"),
    [
        ("3.20.2", ("version", "--short"), "v3.20.2+g1234567\n", "Helm 3.20.2"),
        ("4.2.4", ("version", "--short"), "v4.2.4+g3900f43\n", "Helm 4.2.4"),
        ("4.2.4", ("version", "--short"), "v4.2.4\n", "Helm 4.2.4"),
        ("2.12.3", ("version", "--client", "--short"), "Client: v2.12.3+geecf22f\n", "Helm 2.12.3"),
        ("3.20.2", ("version", "--short"), "v3.20.21+g1234567\n", None),
        ("4.2.4", ("version", "--short"), "v4.2.40\n", None),
    ],
)
def test_its_own_word_is_what_counts(version: str, argv: tuple[str, ...], shown: str, seen: str | None) -> None:
    shell = FakeShell().on("sh", "-c", stdout=shown)
    assert _phase(shell, version).probe() == seen
    assert shell.calls[0][4:] == ("/usr/local/bin/helm", *argv)


def test_a_release_without_it_has_nothing_to_do() -> None:
    assert _phase(FakeShell(), None).probe() == "the release has none"


def test_a_release_of_go_modules_has_it_compiled() -> None:
    release = load_release("k8s-1.37-go", ROOT / "iecpod/releases", ROOT / "schemas")
    phase = HelmPhase(release, FakeShell(), lambda: (), RecordingReporter(), fake_phase_tools().waits)
    assert phase.probe() == "compiled with Kubernetes"


def test_programs_are_sent_and_made_executable(tmp_path: Path) -> None:
    (tmp_path / "helm").write_text("program")
    shell = FakeShell()
    _phase(shell, "3.20.2", (tmp_path / "helm",)).run()
    assert (shell.files, shell.calls) == ({"/usr/local/bin/helm": b"program"}, [])
    assert shell.modes == {"/usr/local/bin/helm": 0o755}
