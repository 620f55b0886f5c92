"""Layout: where data are found for each kind of installation, and what overrides the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from iecpod.errors import HostError
from iecpod.layout import DATA_DIRS, find_layout


def make_data(directory: Path) -> Path:
    for name in DATA_DIRS:
        (directory / name).mkdir(parents=True)
    return directory


def test_checkout_uses_the_data_beside_the_package(tmp_path: Path) -> None:
    make_data(tmp_path)
    layout = find_layout({}, package_dir=tmp_path / "iecpod", is_root=True)
    assert layout.pdf_dir == tmp_path / "pdf"
    assert layout.schemas_dir == tmp_path / "schemas"
    assert layout.cloud_init_dir == tmp_path / "cloud-init"
    assert layout.releases_dir == tmp_path / "iecpod" / "releases"
    assert layout.scenarios_dir == tmp_path / "iecpod" / "scenarios"


@pytest.mark.parametrize(
    ("packages", "share"),
    [
        ("venv/lib/python3.11/site-packages", "venv/share/iecpod"),
        ("usr/local/lib/python3.11/dist-packages", "usr/local/share/iecpod"),
        ("target", "target/share/iecpod"),
    ],
)
def test_installed_package_uses_share_of_its_prefix(tmp_path: Path, packages: str, share: str) -> None:
    make_data(tmp_path / share)
    layout = find_layout({}, package_dir=tmp_path / packages / "iecpod", is_root=True)
    assert layout.pdf_dir == tmp_path / share / "pdf"


def test_the_nearest_prefix_wins(tmp_path: Path) -> None:
    make_data(tmp_path / "share" / "iecpod")
    near = make_data(tmp_path / "venv" / "share" / "iecpod")
    layout = find_layout({}, package_dir=tmp_path / "venv" / "lib" / "iecpod", is_root=True)
    assert layout.pdf_dir.parent == near


def test_missing_data_are_named(tmp_path: Path) -> None:
    (tmp_path / "pdf").mkdir()
    with pytest.raises(HostError, match="schemas") as caught:
        find_layout({}, package_dir=tmp_path / "iecpod", is_root=True)
    assert "install" in caught.value.remedy


def test_root_uses_the_systems_directories(tmp_path: Path) -> None:
    make_data(tmp_path)
    layout = find_layout({}, package_dir=tmp_path / "iecpod", is_root=True)
    assert (layout.state_dir, layout.cache_dir, layout.runtime_dir) == (
        Path("/var/lib/iecpod"),
        Path("/var/cache/iecpod"),
        Path("/run/iecpod"),
    )


def test_users_get_directories_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layout = find_layout({}, package_dir=tmp_path / "iecpod", is_root=False)
    assert layout.state_dir == tmp_path / "state" / "iecpod"
    assert layout.cache_dir == tmp_path / "cache" / "iecpod"
    assert layout.runtime_dir == tmp_path / "state" / "iecpod" / "run"

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    layout = find_layout({"XDG_RUNTIME_DIR": str(tmp_path)}, package_dir=tmp_path / "iecpod", is_root=False)
    assert layout.runtime_dir == tmp_path / "iecpod"


def test_environment_overrides_and_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    environ = {"IECPOD_STATE_DIR": "state", "IECPOD_CACHE_DIR": "/c", "IECPOD_RUNTIME_DIR": ""}
    layout = find_layout(environ, package_dir=tmp_path / "iecpod", is_root=True)
    assert layout.state_dir == tmp_path / "state"
    assert layout.cache_dir == Path("/c")
    assert layout.runtime_dir == Path("/run/iecpod")
