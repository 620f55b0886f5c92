"""What a deploy on an existing machine changes and what teardown puts back, by the scripts themselves."""

from __future__ import annotations

import difflib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.design.cluster import DesiredCluster
from iecpod.design.owner import Owner
from iecpod.design.pod_design import PodDesign
from iecpod.errors import NodeError
from iecpod.model import Idf, Pdf, PodRef, PodSpec
from iecpod.providers.existing.node_changes import NodeChanges, planned_changes
from iecpod.providers.existing.node_facts import RECORD_DIR, gather_facts
from iecpod.providers.existing.node_preparation import PreparePhase, switch_swap_off
from iecpod.providers.existing.record import add_key, begin_record, claim
from iecpod.providers.existing.restore.removal import Restored, restore_nodes
from iecpod.providers.existing.restore.restore_scripts import FILES, NETWORK, PACKAGES
from iecpod.release.mirrors import Supply
from iecpod.release.scenario import load_scenarios
from tests.contract.providers.existing.other_machine import OtherMachine, other_machine
from tests.fakes import RecordingReporter, fake_phase_tools

ROOT = Path(__file__).parents[4]
OWNER = Owner(ref=PodRef("nodes", "edge"), installation="9b2e3c1a-7a51-4c1e-9a50-0f7b7f6c2d11")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKtestkeytestkeytestkeytestkeytestkeytestk nodes/edge"

#: Everything that teardown answers for. Tables without rules are none; what is below /var/lib/dpkg is apt's own.
SNAPSHOT = """
cd /
find etc usr/bin usr/local/bin opt/cni home/iec var/lib/iecpod var/lib/kubelet var/lib/containerd var/lib/etcd -xdev \\
    \\( -type f -o -type l -o -type d \\) ! -path etc/ld.so.cache -printf '%p %y %m %U:%G %l\\n' 2> /dev/null | sort
find etc opt/cni home/iec usr/local/bin/helm -xdev -type f ! -path etc/ld.so.cache -exec sha256sum {} + 2> /dev/null |
    sort -k 2
dpkg-query --show --showformat='${Package} ${Version} ${db:Status-Status}\\n'
apt-mark showhold
ls /sys/class/net
ls /run/netns 2> /dev/null || true
for program in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
    "$program-save" 2> /dev/null | grep -e ^-A -e '^:.* - ' || true
done
tail -n +1 /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv4/conf/*/forwarding
ip -4 route show table all
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[OtherMachine]:
    with other_machine(tmp_path) as machine:
        if machine is None:
            pytest.skip("no mount namespace with an overlay can be made here")
        machine.sh("rm -rf /var/lib/etcd; mkdir /var/lib/etcd")
        machine.sh("useradd --create-home --shell /bin/sh iec; mkdir -p /etc/apt/apt.conf.d")
        yield machine


@pytest.fixture
def changes(cluster: DesiredCluster) -> NodeChanges:
    debs = ("iecpod-test-kubelet_1.0_all.deb",)
    return planned_changes(cluster, Supply(), debs=debs, programs=("kubeadm", "kubelet", "kube-apiserver"))


@pytest.fixture
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two packages, of which one needs the other."""
    directory = tmp_path_factory.mktemp("debs")
    for name, depends in (("iecpod-test-kubelet", "iecpod-test-conntrack"), ("iecpod-test-conntrack", "")):
        tree = directory / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "etc/default").mkdir(parents=True)
        (tree / f"etc/default/{name}").write_text("OPTIONS=\n")
        (tree / "DEBIAN/conffiles").write_text(f"/etc/default/{name}\n")
        lines = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <n@example.org>\n"
        lines += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(f"{lines}Description: for a test\n")
        argv = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(directory / f"{name}_1.0_all.deb")]
        subprocess.run(argv, check=True, capture_output=True)
    return directory


def _pod(cluster: DesiredCluster) -> PodDesign:
    """Of descriptors, nothing but the name matters here."""
    idf = Idf(version="0.1", networks=(), bridges=(), interface_mtu=1500, ntp_servers=(), node_devices=())
    spec = PodSpec(ref=OWNER.ref, pdf=Pdf(version="1.0", nodes=()), idf=idf, pdf_file="", idf_file="")
    scenario = load_scenarios(ROOT / "iecpod/scenarios", ROOT / "schemas")[0]
    supply = Supply(http_proxy="http://proxy.example:3128")
    return PodDesign(spec=spec, scenario=scenario, cluster=cluster, supply=supply, docker_bridge=None)


def prepare(machine: OtherMachine, cluster: DesiredCluster, changes: NodeChanges) -> PreparePhase:
    pod = _pod(cluster)
    tools = fake_phase_tools()
    return PreparePhase(
        *(pod, OWNER, {"iec01": machine}, lambda: {"iec01": changes}, tools.node_times, tools.reporter, tools.waits)
    )


def deploy_on(machine: OtherMachine, cluster: DesiredCluster, changes: NodeChanges, packages: Path) -> None:
    """What the phases of a deploy leave behind, in short."""
    begin_record(machine, OWNER)
    add_key(machine, "iec", KEY)
    prepare(machine, cluster, changes).run()
    for deb in sorted(packages.glob("*.deb")):
        machine.write_file(f"/tmp/{deb.name}", deb.read_bytes())
    machine.sh("dpkg --install /tmp/*.deb; apt-mark auto iecpod-test-conntrack; apt-mark hold iecpod-test-kubelet")
    machine.write_file("/usr/bin/kubeadm", b"#!/bin/sh\necho reset > /run/kubeadm-was-asked\n", 0o755)
    for path in (
        "/usr/bin/kubelet",
        "/etc/kubernetes/manifests/etcd.yaml",
        "/etc/cni/net.d/10-iecpod.conflist",
        "/opt/cni/bin/bridge",
        "/etc/containerd/config.toml",
        "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
        "/var/lib/kubelet/config.yaml",
        "/var/lib/etcd/member/snap/db",
        "/usr/local/bin/helm",
    ):
        machine.write_file(path, b"of the deploy\n")
    machine.sh(NETWORK_OF_PODS)


NETWORK_OF_PODS = """
ip link add cni0 type bridge
ip addr add 100.100.0.1/24 dev cni0
ip link set cni0 up
ip netns add cni-1234
ip link add veth1 type veth peer name eth0 netns cni-1234
ip link set veth1 master cni0
ip link add mgmt type dummy || ip link add mgmt type veth peer name mgmt-far
ip addr add 172.16.10.36/24 dev mgmt
ip link set mgmt up
ip route add 100.100.1.0/24 via 172.16.10.37
ip route add blackhole 100.100.7.0/24
echo 1 > /proc/sys/net/ipv4/ip_forward
iptables-nft -t nat -N KUBE-SERVICES
iptables-nft -t nat -A PREROUTING -j KUBE-SERVICES
iptables-nft -t nat -A POSTROUTING -s 100.100.0.0/24 ! -d 100.100.0.0/16 -j MASQUERADE
"""


def restore(machine: OtherMachine) -> Restored:
    return restore_nodes({"iec01": machine}, OWNER, RecordingReporter())


def snapshot(machine: OtherMachine) -> list[str]:
    return machine.sh(SNAPSHOT).splitlines()


def difference(before: list[str], after: list[str]) -> list[str]:
    return [line for line in difflib.unified_diff(before, after, lineterm="", n=0) if line[:1] in "+-"][2:]


def test_a_machine_is_as_it_was(
    machine: OtherMachine, cluster: DesiredCluster, changes: NodeChanges, packages: Path
) -> None:
    machine.write_file("/usr/local/bin/helm", b"of the lab\n", 0o700)
    machine.write_file("/etc/fstab", b"/dev/vda1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n")
    machine.sh("iptables-nft -A INPUT -p tcp --dport 7 -j DROP; echo 2 > /proc/sys/net/ipv4/conf/all/rp_filter")
    before = snapshot(machine)
    deploy_on(machine, cluster, changes, packages)
    machine.sh("echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter")
    changed = difference(before, snapshot(machine))
    assert len(changed) > 30 and any("kubelet" in line for line in changed)
    assert prepare(machine, cluster, changes).probe() == "1 machines recorded and prepared"
    assert restore(machine).listed() == ()
    assert machine.read_file("/run/kubeadm-was-asked") == b"reset\n"
    machine.sh("ip link delete mgmt")
    assert difference(before, snapshot(machine)) == []
    assert restore(machine).listed() == (), "a machine without a record has nothing left"


def test_what_others_do_meanwhile_stays(
    machine: OtherMachine, cluster: DesiredCluster, changes: NodeChanges, packages: Path
) -> None:
    """Between deploy and teardown an administrator adds a host, a mount, a key, a rule and a file."""
    machine.write_file("/etc/fstab", b"/dev/vda1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n")
    deploy_on(machine, cluster, changes, packages)
    machine.sh(
        "echo 10.9.9.9 other >> /etc/hosts; echo /dev/vdb1 /data ext4 defaults 0 2 >> /etc/fstab;"
        "echo ssh-rsa AAAA of-another >> /home/iec/.ssh/authorized_keys; touch /etc/systemd/system/other.service;"
        "iptables-nft -A INPUT -p tcp --dport 7 -j DROP; ip link add own0 type bridge"
    )
    assert restore(machine).listed() == ()
    assert "10.9.9.9 other" in machine.sh("tail -n 1 /etc/hosts") and "iecpod" not in machine.sh("cat /etc/hosts")
    assert machine.sh("cat /etc/fstab").splitlines()[1:] == [
        "/swapfile none swap sw 0 0",
        "/dev/vdb1 /data ext4 defaults 0 2",
    ]
    assert machine.sh("cat /home/iec/.ssh/authorized_keys") == "ssh-rsa AAAA of-another\n"
    machine.sh(
        "test -e /etc/systemd/system/other.service; iptables-nft -S | grep -q 'dport 7'; test -d /sys/class/net/own0"
    )


def test_a_restore_that_was_killed_continues(
    machine: OtherMachine, cluster: DesiredCluster, changes: NodeChanges, packages: Path
) -> None:
    before = snapshot(machine)
    deploy_on(machine, cluster, changes, packages)
    machine.sh("rm -rf /etc/kubernetes /usr/bin/kubelet; ip link delete cni0")
    machine.sh("dpkg --remove --force-hold iecpod-test-kubelet")
    for script in (NETWORK, PACKAGES, FILES, FILES):
        machine.run(["sh", "-c", script, "restore"])
    assert machine.sh(f"test -e {RECORD_DIR}/owner && echo there") == "there\n"
    assert restore(machine).listed() == ()
    machine.sh("ip link delete mgmt")
    assert difference(before, snapshot(machine)) == []


def test_what_cannot_be_put_back_is_listed_and_the_record_stays(
    machine: OtherMachine, cluster: DesiredCluster, changes: NodeChanges, packages: Path
) -> None:
    deploy_on(machine, cluster, changes, packages)
    machine.sh("mount -t tmpfs tmpfs /etc/cni; touch /etc/cni/held")  # somebody holds it
    assert restore(machine).listed() == ("iec01: tree /etc/cni",)
    assert machine.sh(f"cat {RECORD_DIR}/owner").startswith("installation=")
    machine.sh("umount /etc/cni")
    assert restore(machine).listed() == ()
    machine.sh(f"test ! -e {RECORD_DIR}")


def test_a_machine_can_be_deployed_on_again_at_once(
    machine: OtherMachine, cluster: DesiredCluster, changes: NodeChanges, packages: Path
) -> None:
    for _ in range(2):
        deploy_on(machine, cluster, changes, packages)
        assert restore(machine).listed() == ()
        machine.sh("ip link delete mgmt")
    found = gather_facts(machine, time.time)
    assert found.owner is None and found.clusters == ()


def test_a_machine_of_another_installation_is_refused(machine: OtherMachine, changes: NodeChanges) -> None:
    other = Owner(ref=OWNER.ref, installation="00000000-0000-4000-8000-000000000000")
    begin_record(machine, other)
    begin_record(machine, other)
    with pytest.raises(NodeError, match="it is kept by another deploy of iecpod: installation=0"):
        begin_record(machine, OWNER)
    assert "its record is another's" in restore(machine).listed()[0]
    facts = gather_facts(machine, time.time)
    assert facts.owner is not None and facts.owner.installation == other.installation


def test_the_first_state_counts_whatever_is_recorded_later(machine: OtherMachine, changes: NodeChanges) -> None:
    machine.write_file("/usr/local/bin/helm", b"of the lab\n")
    for content in (b"first deploy\n", b"second deploy\n"):
        begin_record(machine, OWNER)
        claim(machine, changes)
        machine.write_file("/usr/local/bin/helm", content)
    assert restore(machine).listed() == ()
    assert machine.read_file("/usr/local/bin/helm") == b"of the lab\n"


def test_a_record_is_for_root_alone(machine: OtherMachine, changes: NodeChanges) -> None:
    begin_record(machine, OWNER)
    claim(machine, changes)
    add_key(machine, "iec", KEY)
    assert machine.sh(f"stat --format=%a {RECORD_DIR}") == "700\n"
    assert machine.sh("stat --format='%a %U' /home/iec/.ssh /home/iec/.ssh/authorized_keys") == "700 iec\n600 iec\n"


def test_swap_that_cannot_be_switched_off_is_one_error(machine: OtherMachine) -> None:
    machine.write_file("/usr/local/sbin/swapoff", b"#!/bin/sh\necho 'swapoff: Not superuser.' >&2; exit 4\n", 0o755)
    machine.write_file("/run/swaps", b"Filename Type Size Used Priority\n/dev/vda5 partition 1000 0 -2\n")
    machine.sh("mount --bind /run/swaps /proc/swaps")
    begin_record(machine, OWNER)
    with pytest.raises(NodeError) as refused:
        switch_swap_off(machine)
    assert refused.value.cause == ("iec01: swap cannot be switched off: `swapoff --all` says: swapoff: Not superuser.")
    assert "run `sudo swapoff --all` there" in refused.value.remedy
