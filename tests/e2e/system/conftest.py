"""Two machines of the host's own libvirt, on a bridge of the lab: mgmt as it is, public by its tag on the same NIC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from tests.e2e import small_lab
from tests.e2e.command import RELEASE, Iecpod
from tests.e2e.system.system_libvirt import SystemLibvirt, system_libvirt

LAB, POD = "system", "virtual1"
#: The lab's bridge, with the jumpserver's address on mgmt, and a network that is not iecpod's.
BRIDGE, JUMPSERVER = "br-lab", "172.16.10.1/24"
_FOREIGN = "<network><name>foreign</name><bridge name='virbr-foreign'/></network>"
OPTIONS = ("-c", "qemu:///system", "--release", RELEASE, "-s", "k8-kube-router-iec-noha", "--until", "reachable")


def write_descriptors(directory: Path) -> None:
    """What `-b file://DIRECTORY` takes."""
    pdf, idf = (
        small_lab.load_yaml(small_lab.ROOT / f"pdf/labs/local/{name}.yaml") for name in ("virtual1", "idf-virtual1")
    )
    pdf["nodes"] = pdf["nodes"][:2]
    fuel, networks = idf["idf"]["fuel"], idf["idf"]["net_config"]
    networks["public"].update(interface=networks["mgmt"]["interface"], vlan=15)
    fuel["jumphost"]["bridges"].update(mgmt=BRIDGE, public=BRIDGE)
    fuel["network"]["node"] = fuel["network"]["node"][:2]
    labs = directory / "labs" / LAB
    labs.mkdir(parents=True)
    (labs / f"{POD}.yaml").write_text(yaml.safe_dump(pdf))
    (labs / f"idf-{POD}.yaml").write_text(yaml.safe_dump(idf))


@pytest.fixture(scope="package")
def root() -> Iterator[Path]:
    """QEMU, which is not root there, passes through it."""
    with TemporaryDirectory(prefix="iecpod-e2e-system-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


@pytest.fixture(scope="package")
def libvirt(as_root: None, root: Path) -> Iterator[SystemLibvirt]:
    with system_libvirt(root / "host") as host:
        host.run("ip", "link", "add", BRIDGE, "type", "bridge")
        host.run("ip", "address", "add", JUMPSERVER, "dev", BRIDGE)
        host.run("ip", "link", "set", BRIDGE, "up")
        (root / "foreign.xml").write_text(_FOREIGN)
        host.virsh("net-define", str(root / "foreign.xml"))
        yield host


@pytest.fixture(scope="package")
def pod(libvirt: SystemLibvirt, root: Path) -> Iterator[Iecpod]:
    """Torn down at the end, however tests went; that nothing is left is a test of its own."""
    write_descriptors(root / "base")
    command = Iecpod(root, LAB, POD, prefix=libvirt.prefix)
    try:
        command.check("deploy", "-b", f"file://{root}/base", *OPTIONS)
        yield command
    finally:
        command.run("teardown")
