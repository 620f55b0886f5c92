"""Embedded hypervisors without a POD, for real: a namespace of ours, and one that is not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.adapters.embedded import namespace_name, namespace_owner
from iecpod.adapters.namespaces import NetworkNamespace
from iecpod.adapters.orphans import Orphan, find_orphans
from iecpod.model import PodRef
from tests.contract.hypervisors import why_not_embedded

pytestmark = pytest.mark.skipif(bool(why_not_embedded()), reason=why_not_embedded())

REF = PodRef("orphans", "pod1")


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[NetworkNamespace]:
    pod_dir = tmp_path / REF.lab / REF.pod
    made = NetworkNamespace(namespace_name(REF), namespace_owner(pod_dir))
    made.ensure()
    yield made
    made.remove()


def orphans(tmp_path: Path) -> list[Orphan]:
    """Those of this test: the machine may have others."""
    return [orphan for orphan in find_orphans() if orphan.pod_dir.is_relative_to(tmp_path)]


def test_what_runs_without_its_directory_is_ended(namespace: NetworkNamespace, tmp_path: Path) -> None:
    (empty,) = orphans(tmp_path)
    assert (empty.name, empty.ref, empty.newest_at) == (namespace.name, REF, None)
    with subprocess.Popen(["nsenter", f"--net={namespace.path}", "sleep", "600"]) as process:
        deadline = time.monotonic() + 10
        while (found := orphans(tmp_path))[0].newest_at is None:
            assert time.monotonic() < deadline
        newest_at = found[0].newest_at
        assert newest_at is not None and abs(newest_at - time.time()) < 60
        found[0].remove()
        assert process.wait(10) != 0
    assert orphans(tmp_path) == [] and not namespace.exists()


def test_what_has_its_directory_is_no_orphan(namespace: NetworkNamespace, tmp_path: Path) -> None:
    (tmp_path / REF.lab / REF.pod).mkdir(parents=True)
    assert orphans(tmp_path) == []


@pytest.mark.parametrize("alias", ["", "iecpod", "somebody {}", "iecpod {}/elsewhere"])
def test_what_is_marked_otherwise_is_not_ours(tmp_path: Path, alias: str) -> None:
    made = NetworkNamespace(namespace_name(REF), alias.format(tmp_path / REF.lab / REF.pod / "libvirt") or "x")
    made.ensure()
    try:
        assert orphans(tmp_path) == []
    finally:
        made.remove()
