"""What comes after an aborted run, on a real embedded libvirtd: logs, alive and dead, and gc."""

from __future__ import annotations

import os
import signal
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.commands.gc import collect_garbage, examine_pod
from iecpod.errors import HypervisorUnavailable
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.model import PodRef
from iecpod.processes import find_processes
from iecpod.providers.libvirt.xml import Stamp, resource_of
from iecpod.wiring.pod_tools import PodAdapters
from tests import pods
from tests.contract.hypervisors import why_not_embedded
from tests.fakes import RecordingReporter
from tests.pod_requests import saved_pod
from tests.pods import site
from tests.unit.command_line import layout_below, run, write_pod

pytestmark = pytest.mark.skipif(bool(why_not_embedded()), reason=why_not_embedded())

REF = PodRef("local", "half")


@pytest.fixture
def directory() -> Iterator[Path]:
    """With a short path, as sockets want it."""
    with tempfile.TemporaryDirectory(prefix="iecpod-") as made:
        yield Path(made)


@pytest.fixture
def tools(directory: Path) -> Iterator[PodAdapters]:
    """A POD whose deploy ended after its first network: keys and nodes were never made."""
    write_pod(directory, REF.lab, REF.pod)
    made = PodAdapters(layout_below(directory), REF, RecordingReporter(), "")
    made.state.save(saved_pod(uri=EMBEDDED, addressing="fuel"))
    host = made.nodes.libvirt_tools().host(EMBEDDED)
    host.start()
    hypervisor = host.connect()
    long_ago = Stamp(REF, "run1", "2026-01-02T03:04:05Z", made.run.owner.installation)
    hypervisor.define(resource_of(pods.private_network(REF), long_ago))
    hypervisor.close()
    yield made
    host.stop()
    assert host.leftovers() == ()


def collect(directory: Path) -> dict[str, str]:
    done = run(directory, "logs", "-b", str(directory), "-l", REF.lab, "-p", REF.pod, "x.tar.gz")
    assert done.exit_code == 0, done.output
    found = {}
    with tarfile.open(directory / "x.tar.gz") as tar:
        for entry in tar:
            if file := tar.extractfile(entry):
                found[entry.name.partition("/")[2]] = file.read().decode()
    return found


def libvirtd(tools: PodAdapters) -> list[int]:
    pid_file = str(tools.state.pod_dir / "libvirt" / "run" / "libvirtd.pid")
    running = find_processes(lambda process: pid_file.encode() in (process / "cmdline").read_bytes())
    return [process.pid for process in running]


def test_logs_of_a_half_made_pod_with_libvirtd_alive_and_dead(tools: PodAdapters, directory: Path) -> None:
    alive = collect(directory)
    name = "local-half-private"
    assert "2026-01-02T03:04:05Z" in alive[f"libvirt/xml/network-{name}.xml"]
    assert "iec01" in alive["iecpod/plan.txt"] and "libvirt/log/libvirtd.log" in alive
    missing = alive["MANIFEST"].partition("Not collected\n")[2]
    assert "nodes: there are no keys: no node was made" in missing
    (pid,) = libvirtd(tools)
    os.kill(pid, signal.SIGKILL)
    while libvirtd(tools):
        time.sleep(0.05)
    dead = collect(directory)
    assert "2026-01-02T03:04:05Z" in dead[f"libvirt/etc/qemu/networks/{name}.xml"]
    assert "libvirt/xml: libvirtd of POD local/half does not answer" in dead["MANIFEST"]
    assert libvirtd(tools) == [], "collecting logs starts nothing"


def test_gc_takes_it_once_it_is_old(tools: PodAdapters) -> None:
    def gather(now: float) -> str:
        leftovers = [examine_pod(tools, site(EMBEDDED), everything=False)]
        (decision,) = collect_garbage(leftovers, now=now, older_than_seconds=3600, dry_run=False).decisions
        return decision.action

    assert gather(time.time()) == "kept", "its deploy has just started, old as its network says that it is"
    (pid,) = libvirtd(tools)
    os.kill(pid, signal.SIGKILL)
    assert gather(time.time() + 7200) == "removed"
    assert not tools.state.pod_dir.exists()
    with pytest.raises(HypervisorUnavailable):
        tools.nodes.libvirt_tools().host(EMBEDDED).connect()
