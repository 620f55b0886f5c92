"""The end of the POD: nothing of it is left. Runs last, by its name."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import CACHE_DIR, HostSnapshot, Iecpod


def test_teardown_leaves_nothing(pod: Iecpod, host_before: HostSnapshot) -> None:
    cache_before = _files(CACHE_DIR)
    printed = pod.check("teardown")
    assert "removed domain local-virtual1-iec01" in printed
    assert HostSnapshot.take() == host_before
    left = {path for path in _files(pod.root / "state") if "/log/" not in str(path)}
    assert left == {pod.root / "state" / "installation"}, "who it is that deploys from there is the same tomorrow"
    assert not pod.pod_dir.exists()
    assert _files(CACHE_DIR) == cache_before


def test_teardown_again_finds_nothing(pod: Iecpod) -> None:
    assert "nothing to remove" in pod.check("teardown")
    assert "absent" in pod.check("status")


def _files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}
