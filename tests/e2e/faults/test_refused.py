"""Deploys that must be refused before anything is made. Cheap: no guest boots here but where the test says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import LAB, POD, Iecpod
from tests.e2e.small_lab import ROOT
from tests.e2e.teardown import HostSnapshot


def _refused(iecpod: Iecpod, exit_code: int, *arguments: str) -> str:
    before = HostSnapshot.take()
    done = iecpod.run("deploy", *arguments)
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "remedy:" in done.stderr or "->" in done.stderr
    assert HostSnapshot.take() == before
    assert not iecpod.pod_dir.exists()
    return done.stderr


def test_overlapping_cidr(iecpod: Iecpod) -> None:
    message = _refused(iecpod, 4, "--pod-cidr", "172.16.0.0/16")
    assert "172.16.0.0/16" in message and "mgmt" in message and "172.16.10.0/24" in message


def test_missing_pod(iecpod: Iecpod, tmp_path: Path) -> None:
    (tmp_path / "labs" / LAB).mkdir(parents=True)
    assert "virtual1.yaml" in _refused(iecpod, 3, "-b", str(tmp_path))


def test_broken_yaml_and_schema_faults(iecpod: Iecpod, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(ROOT / "pdf", base)
    pdf = base / "labs" / LAB / f"{POD}.yaml"
    good = pdf.read_text()
    pdf.write_text(good + "\n  nodes: [\n")
    assert f"{POD}.yaml:" in _refused(iecpod, 3, "-b", str(base))
    pdf.write_text(good.replace("memory: 2560M", "memory: plenty", 1))
    assert "memory" in _refused(iecpod, 3, "-b", str(base))


def test_no_libvirt_there(iecpod: Iecpod) -> None:
    assert "qemu:///system" in _refused(iecpod, 4, "-c", "qemu:///system")


def test_full_disk(iecpod: Iecpod, tmp_path: Path) -> None:
    small = Path(f"{iecpod.root}-small")
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(small)], check=True)
    try:
        message = _refused(Iecpod(small), 4)
    finally:
        subprocess.run(["umount", str(small)], check=True)
        small.rmdir()
    assert "GiB free" in message and "IECPOD_STATE_DIR" in message


def test_no_permission(iecpod: Iecpod) -> None:
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*as_nobody, sys.executable, "-c", "import iecpod.wiring.pods"], check=False).returncode != 0:
        pytest.skip("this checkout is not readable for other users")
    done = subprocess.run(
        [*as_nobody, *iecpod.argv("deploy")],
        env={**iecpod.environ, "IECPOD_STATE_DIR": "/nonexistent/state", "IECPOD_CACHE_DIR": "/nonexistent/cache"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 4), done.stderr
    assert "Traceback" not in done.stderr and "remedy:" in done.stderr


def test_a_foreign_network_of_our_name_is_left_alone(iecpod: Iecpod) -> None:
    host = iecpod.host
    iecpod.pod_dir.mkdir(parents=True)
    xml = iecpod.root / "foreign.xml"
    xml.write_text(f"<network><name>{LAB}-{POD}-mgmt</name><bridge name='foreign'/></network>")
    try:
        host.start()
        subprocess.run(["virsh", "-c", host.uri, "net-define", str(xml)], check=True, capture_output=True)
        done = iecpod.run("deploy")
        assert done.returncode == 4, done.stderr
        assert f"network {LAB}-{POD}-mgmt" in done.stderr and "did not make" in done.stderr
        host.start()
        listed = subprocess.check_output(["virsh", "-c", host.uri, "net-list", "--all", "--name"], text=True)
        assert listed.split() == [f"{LAB}-{POD}-mgmt"]
    finally:
        host.stop()
        shutil.rmtree(iecpod.pod_dir, ignore_errors=True)


def test_a_second_run_is_refused_while_the_first_holds_the_pod(iecpod: Iecpod) -> None:
    """The holder is a process of its own: it takes the lock and sleeps."""
    script = (
        "import time, sys\n"
        "from pathlib import Path\n"
        "from iecpod.adapters.pod_lock import pod_lock\n"
        "from iecpod.layout import find_layout\n"
        "import iecpod, os\n"
        "from iecpod.model import PodRef\n"
        "layout = find_layout(os.environ, package_dir=Path(iecpod.__file__).parent, is_root=True)\n"
        f"with pod_lock(layout, PodRef('{LAB}', '{POD}'), wait_seconds=0):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], env=iecpod.environ, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline().strip() == "held"
        message = _refused(iecpod, 4)
        assert str(holder.pid) in message
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.skipif(not Path("/dev/kvm").exists(), reason="this machine lists no KVM")
def test_a_kvm_that_boots_no_kernel_is_named(iecpod: Iecpod, baked: None) -> None:
    """Needs a POD of its own: its guests never come up. Skipped where KVM works."""
    done = iecpod.run("deploy", "--virt-type", "kvm")
    try:
        if done.returncode == 0:
            pytest.skip("KVM works on this machine")
        # Some hosts refuse to start the guest at all, others run it and its kernel stays silent.
        assert done.returncode in (1, 5), done.stderr
        assert "--virt-type qemu" in done.stderr
    finally:
        iecpod.check("teardown")
