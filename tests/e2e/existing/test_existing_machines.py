"""A cluster on machines that are there: refused for good reasons, made, grown, shrunk, torn down, and as before.

The machines are made by iecpod's other provider, and nothing of that is used: they have a user with a password, as
an administrator would have installed them.
"""

from __future__ import annotations

import difflib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import pytest

from iecpod.deploy.waiting.parallel import run_on_nodes
from tests.e2e import small_lab
from tests.e2e.conftest import RELEASE, Iecpod

CONTROL_PLANE, WORKER, THIRD = "172.16.10.36", "172.16.10.37", "172.16.10.38"
NODES = {"iec01": CONTROL_PLANE, "iec02": WORKER}
MACHINES = {**NODES, "iec03": THIRD}
SCENARIO = "k8-kube-router-iec-noha"
PASSWORD = "correct horse battery staple"

#: As root, on a guest: a user with a password, and swap, as an installer would leave them.
INSTALL = f"""
useradd --create-home --shell /bin/bash iec
echo 'iec:{PASSWORD}' | chpasswd
echo 'iec ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/iec
printf 'PasswordAuthentication yes\\n' > /etc/ssh/sshd_config.d/00-password.conf
systemctl restart ssh
dd if=/dev/zero of=/swapfile bs=1M count=64 status=none
chmod 600 /swapfile
mkswap /swapfile > /dev/null
echo '/swapfile none swap sw 0 0' >> /etc/fstab
systemctl daemon-reload
swapon --all
"""

#: As root, on a guest: from now on, who logs in by SSH is as in a container, where swap is the host's.
NO_SWAPOFF = """
mkdir -p /etc/systemd/system/ssh.service.d
printf '[Service]\\nCapabilityBoundingSet=~CAP_SYS_ADMIN\\n' > /etc/systemd/system/ssh.service.d/capabilities.conf
systemctl daemon-reload
systemctl restart ssh
"""
AS_BEFORE = """
rm /etc/systemd/system/ssh.service.d/capabilities.conf
systemctl daemon-reload
systemctl restart ssh
"""

#: All that teardown answers for.
SNAPSHOT = """
export LC_ALL=C
ask() {
    for asked in 1 2 3 4 5 6 7 8; do
        if answer=$("$@"); then printf '%s\\n' "$answer"; return; fi
    done
    return 1
}
find /etc /usr/bin /usr/local /opt /home /var/lib/iecpod /var/lib/kubelet /var/lib/containerd -xdev \\
    ! -path '/etc/ld.so.cache' ! -path '/home/iec/.cache*' -printf '%p %y %m %U:%G %l\\n' 2> /dev/null | sort
find /etc /home -xdev -type f ! -path /etc/ld.so.cache -exec sha256sum {} + | sort -k 2
dpkg-query --show --showformat='${Package} ${Version} ${db:Status-Status}\\n'
apt-mark showhold
files=$(systemctl --root=/ list-unit-files --no-legend --no-pager --type=service,socket,swap)
printf '%s\\n' "$files" | awk '{print $1, $2}'
units=$(ask systemctl list-units --no-legend --no-pager --plain --type=service,swap --state=active)
printf '%s\\n' "$units" | awk '{print $1}' | grep -v user@
ls /sys/class/net
ls /run/netns 2> /dev/null || true
ls -d /run/iecpod-* 2> /dev/null || true
awk 'NR > 1 {print $1, $2}' /proc/swaps
ip -4 route show table all
for name in net/ipv4/ip_forward vm/overcommit_memory kernel/panic kernel/panic_on_oops net/ipv4/conf/all/rp_filter; do
    echo "$name $(cat /proc/sys/$name)"
done
for program in iptables-nft iptables-legacy; do "$program-save" 2> /dev/null | grep -e ^-A || true; done
true
"""


@dataclass
class Machines:
    """`lab` made them; `iecpod` is another state directory, whose commands run where they can be reached."""

    lab: Iecpod
    iecpod: Iecpod
    password_file: Path
    wrong_password_file: Path

    def as_root(self, hostname: str, script: str) -> str:
        return self.lab.check("ssh", hostname, "--", "sudo", "sh", "-euc", script)

    def fingerprint(self, hostname: str) -> str:
        return self.as_root(hostname, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").split()[1]

    def argv(
        self, *arguments: str, password: Path | None = None, addresses: Sequence[str] = tuple(NODES.values())
    ) -> list[str]:
        argv = [*self.iecpod.prefix, sys.executable, "-m", "iecpod", "bootstrap", *addresses]
        argv += ["--name", self.iecpod.pod, "--user", "iec", "--password-file", str(password or self.password_file)]
        return [*argv, *arguments]

    def bootstrap(
        self, *arguments: str, password: Path | None = None, addresses: Sequence[str] = tuple(NODES.values())
    ) -> subprocess.CompletedProcess[str]:
        """As a job would: nothing of this machine's known_hosts, and keys that are expected."""
        argv = self.argv(*arguments, password=password, addresses=addresses)
        return subprocess.run(
            argv, env=self.iecpod.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3000
        )

    @cached_property
    def host_keys(self) -> list[str]:
        return [part for name, at in MACHINES.items() for part in ("--host-key", f"{at}={self.fingerprint(name)}")]

    def start_of_kubelet(self, hostname: str) -> str:
        return self.as_root(hostname, "systemctl show kubelet --property=ExecMainStartTimestampMonotonic")


@pytest.fixture(scope="module")
def machines(as_root: None) -> Iterator[Machines]:
    root = Path(tempfile.mkdtemp(prefix="iecpod-e2e-existing-"))
    small_lab.write_descriptors(root)
    lab = Iecpod(root / "lab", small_lab.LAB, small_lab.TRIO)
    base = ("-b", f"file://{root}", "-c", "embedded", "--release", RELEASE, "-s", SCENARIO, "--bundle-via", "ssh")
    try:
        lab.check("deploy", *base, "--until", "reachable")
        run_on_nodes(tuple(MACHINES), lambda name: lab.check("ssh", name, "--", "sudo", "sh", "-euc", INSTALL))
        for name, text in (("password", PASSWORD), ("wrong", "tr0ub4dor")):
            (root / name).write_text(text + "\n")
        settings = {"HOME": str(root)}
        prefix = tuple(lab.host.command_prefix)
        iecpod = Iecpod(root / "existing", "nodes", "edge", settings=settings, prefix=prefix)
        yield Machines(lab, iecpod, root / "password", root / "wrong")
    finally:
        lab.run("teardown")
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def bundle(machines: Machines) -> Path:
    path = machines.lab.root / "bundle"
    argv = [sys.executable, "-m", "iecpod", "bundle", "build", "--release", RELEASE, "--output", str(path)]
    subprocess.run(argv, env=machines.lab.environ, stdin=subprocess.DEVNULL, check=True)
    return path


@pytest.fixture(scope="module")
def before(machines: Machines) -> dict[str, list[str]]:
    return snapshots(machines, *MACHINES)


def snapshots(machines: Machines, *hostnames: str) -> dict[str, list[str]]:
    return run_on_nodes(hostnames, lambda hostname: machines.as_root(hostname, SNAPSHOT).splitlines())


def test_unknown_host_keys_are_refused(machines: Machines, before: dict[str, list[str]]) -> None:
    refused = machines.bootstrap("--release", RELEASE, "-s", SCENARIO)
    assert refused.returncode == 1
    for hostname, address in NODES.items():
        assert f"{address} offers the host key {machines.fingerprint(hostname)}" in refused.stderr
    assert "which is not in known_hosts" in refused.stderr and PASSWORD not in refused.stderr
    assert not machines.iecpod.pod_dir.exists()


def test_another_host_key_is_refused(machines: Machines) -> None:
    foreign = "SHA256:" + "A" * 43
    refused = machines.bootstrap("--release", RELEASE, "--host-key", foreign)
    assert refused.returncode == 1 and f"--host-key expects {foreign}" in refused.stderr


def test_a_wrong_password_is_refused(machines: Machines) -> None:
    options = ("--release", RELEASE, "-s", SCENARIO, *machines.host_keys)
    refused = machines.bootstrap(*options, password=machines.wrong_password_file)
    assert refused.returncode == 1
    assert "refuses the password that was given" in refused.stderr and "tr0ub4dor" not in refused.stderr


def test_sudo_that_asks_is_refused(machines: Machines) -> None:
    machines.as_root("iec02", "mv /etc/sudoers.d/iec /root/")
    try:
        refused = machines.bootstrap("--release", RELEASE, "-s", SCENARIO, *machines.host_keys)
    finally:
        machines.as_root("iec02", "mv /root/iec /etc/sudoers.d/")
    assert refused.returncode == 1
    assert f"{WORKER}: `sudo -n true` is refused to user iec: sudo: a password is required" in refused.stderr
    assert "NOPASSWD" in refused.stderr


def test_an_old_cluster_is_refused(machines: Machines) -> None:
    machines.as_root("iec02", "mkdir /etc/kubernetes; touch /etc/kubernetes/kubelet.conf")
    try:
        refused = machines.bootstrap("--release", RELEASE, "-s", SCENARIO, *machines.host_keys)
    finally:
        machines.as_root("iec02", "rm -r /etc/kubernetes")
    assert refused.returncode == 4, refused.stderr
    assert "node iec02: error: it belongs to a cluster already, or did: /etc/kubernetes/kubelet.conf" in refused.stderr
    assert not machines.iecpod.pod_dir.exists()


def test_swap_that_stays_on_is_one_error(machines: Machines, before: dict[str, list[str]]) -> None:
    machines.as_root("iec02", NO_SWAPOFF)
    try:
        options = ("--release", RELEASE, "-s", SCENARIO, *machines.host_keys)
        refused = machines.bootstrap(*options)
        torn_down = machines.iecpod.run("teardown")
    finally:
        machines.as_root("iec02", AS_BEFORE)
    assert refused.returncode == 1, refused.stderr
    said = "iec02: swap cannot be switched off: `swapoff --all` says: swapoff: Not superuser."
    assert refused.stderr.count(said) == 1, refused.stderr
    assert torn_down.returncode == 0, torn_down.stderr
    check_as_before(machines, before)


def test_a_killed_bootstrap_resumes_to_a_cluster(
    machines: Machines, bundle: Path, before: dict[str, list[str]]
) -> None:
    """With a bundle; the first run ends while the nodes receive it."""
    options = ("--bundle", str(bundle), "-s", SCENARIO, *machines.host_keys)
    with subprocess.Popen(machines.argv(*options), env=machines.iecpod.environ, stderr=subprocess.PIPE) as killed:
        assert killed.stderr is not None
        seen = b"".join(iter_until(killed.stderr, b"receives the bundle, file 5 of"))
        killed.kill()
    assert b"receives the bundle, file 5 of" in seen, seen.decode()
    done = machines.bootstrap(*options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "POD nodes/edge" in done.stdout and PASSWORD not in done.stdout + done.stderr
    outcomes = {phase["name"]: phase["outcome"] for phase in machines.iecpod.report()["phases"]}
    assert (outcomes["reachable"], outcomes["runtime"], outcomes["verify"]) == ("in place", "done", "done")


def iter_until(stream: IO[bytes], end: bytes) -> Iterator[bytes]:
    for line in stream:
        yield line
        if end in line:
            return


def test_it_is_a_pod_as_any_other(machines: Machines) -> None:
    iecpod = machines.iecpod
    status = json.loads(iecpod.check("status", "-o", "json"))
    assert status["state"] == "ready" and [node["node"] for node in status["nodes"]] == list(NODES)
    assert "DOMAIN" not in iecpod.check("status")
    assert addresses(iecpod) == NODES
    assert iecpod.on_node("iec02", "id", "--user", "--name").strip() == "iec"
    assert "server: https://172.16.10.36:6443" in iecpod.check("kubeconfig")
    assert machines.as_root("iec01", "cat /proc/swaps").count("\n") == 1


def addresses(iecpod: Iecpod) -> dict[str, str]:
    """Of the cluster's nodes."""
    items = iecpod.get("nodes")["items"]
    return {item["metadata"]["name"]: item["status"]["addresses"][0]["address"] for item in items}


def test_it_is_refused_to_another_installation(machines: Machines, tmp_path: Path) -> None:
    iecpod = Iecpod(tmp_path, "nodes", "other", settings=machines.iecpod.settings, prefix=machines.iecpod.prefix)
    other = Machines(machines.lab, iecpod, machines.password_file, machines.wrong_password_file)
    refused = other.bootstrap("--release", RELEASE, "-s", SCENARIO, *machines.host_keys)
    assert refused.returncode == 4 and "it is node iec01 of POD nodes/edge" in refused.stderr


def test_a_third_machine_joins(machines: Machines) -> None:
    started = {hostname: machines.start_of_kubelet(hostname) for hostname in NODES}
    done = machines.bootstrap(*machines.host_keys, addresses=tuple(MACHINES.values()))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert addresses(machines.iecpod) == MACHINES
    assert {hostname: machines.start_of_kubelet(hostname) for hostname in NODES} == started
    assert json.loads(machines.iecpod.check("status", "-o", "json"))["state"] == "ready"


def test_a_machine_leaves(machines: Machines, before: dict[str, list[str]]) -> None:
    left = (CONTROL_PLANE, THIRD)
    refused = machines.bootstrap(*machines.host_keys, addresses=left)
    assert refused.returncode == 2 and f"{WORKER} of POD nodes/edge is not given" in refused.stderr
    done = machines.bootstrap(*machines.host_keys, "--prune", addresses=left)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert addresses(machines.iecpod) == {"iec01": CONTROL_PLANE, "iec03": THIRD}
    check_as_before(machines, {"iec02": before["iec02"]})
    assert machines.iecpod.run("plan", "--detailed-exitcode").returncode == 0


def test_a_teardown_puts_everything_back(machines: Machines, before: dict[str, list[str]]) -> None:
    removed = machines.iecpod.check("teardown")
    assert removed.splitlines() == ["removed node iec01", "removed node iec03"]
    assert not machines.iecpod.pod_dir.exists() and not (machines.iecpod.root / "state/described/nodes").exists()
    check_as_before(machines, before)


def check_as_before(machines: Machines, before: dict[str, list[str]]) -> None:
    changed = {}
    for hostname, now in snapshots(machines, *before).items():
        differing = difflib.unified_diff(before[hostname], now, lineterm="", n=0)
        changed[hostname] = [line for line in differing if line[:1] in "+-"][2:]
    assert changed == {hostname: [] for hostname in before}
