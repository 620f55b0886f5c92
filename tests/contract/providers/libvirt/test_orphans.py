"""Embedded hypervisors without a POD, for real: a namespace of ours, and one that is not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.design.owner import Owner
from iecpod.errors import ResourceConflict
from iecpod.model import PodRef
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from iecpod.providers.libvirt.embedded.namespaces import NamespaceMark, NetworkNamespace, namespace_name
from iecpod.providers.libvirt.embedded.stale_hypervisors import Orphan, find_orphans
from tests import pods
from tests.contract.hypervisors import why_not_embedded

pytestmark = pytest.mark.skipif(bool(why_not_embedded()), reason=why_not_embedded())

REF = PodRef("orphans", "pod1")


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[NetworkNamespace]:
    pod_dir = tmp_path / REF.lab / REF.pod
    made = NetworkNamespace(namespace_name(REF), str(NamespaceMark(pod_dir, pods.INSTALLATION)))
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


def test_the_mark_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    pod_dir = tmp_path / REF.lab / REF.pod
    earlier = NetworkNamespace(namespace_name(REF), f"iecpod {pod_dir}/libvirt")
    earlier.ensure()
    try:
        (found,) = orphans(tmp_path)
        assert (found.pod_dir, found.installation) == (pod_dir, "")
        assert EmbeddedHost(pod_dir, pods.owner(REF, pod_dir)).leftovers() != (), "it is still ours"
        found.remove()
        assert orphans(tmp_path) == []
    finally:
        earlier.remove()


def test_the_same_directory_of_another_installation_is_not_ours(namespace: NetworkNamespace, tmp_path: Path) -> None:
    pod_dir = tmp_path / REF.lab / REF.pod
    other = Owner(ref=REF, installation="5c1c2a4e-3f0e-4a57-8c8c-0a4d2f6b9b02", pod_dir=pod_dir)
    host = EmbeddedHost(pod_dir, other)
    with pytest.raises(ResourceConflict, match=f"{pod_dir}/libvirt installation={pods.INSTALLATION}"):
        host.start()
    host.stop()
    assert host.leftovers() == () and namespace.exists()
