"""Three machines that somebody has installed, and the POD that is bootstrapped on them, as far as a test needs it.

They are made by iecpod's other provider, and nothing of that is used: they have a user with a password and swap.
"""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO

from iecpod.deploy.waiting.parallel import run_on_nodes
from tests.e2e.command import RELEASE, Iecpod
from tests.e2e.existing.node_snapshot import SNAPSHOT, differences, staying_modules

CONTROL_PLANE, WORKER, THIRD = "172.16.10.36", "172.16.10.37", "172.16.10.38"
NODES = {"iec01": CONTROL_PLANE, "iec02": WORKER}
MACHINES = {**NODES, "iec03": THIRD}
SCENARIO = "k8-kube-router-iec-noha"
PASSWORD, WRONG_PASSWORD = "correct horse battery staple", "tr0ub4dor"

#: As root, on a guest: a user with a password, and swap with a priority, as an installer would leave them.
INSTALL = f"""
timeout 600 cloud-init status --wait > /dev/null 2>&1 || true
useradd --create-home --shell /bin/bash iec
echo 'iec:{PASSWORD}' | chpasswd
echo 'iec ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/iec
printf 'PasswordAuthentication yes\\n' > /etc/ssh/sshd_config.d/00-password.conf
systemctl restart ssh
dd if=/dev/zero of=/swapfile bs=1M count=64 status=none
chmod 600 /swapfile
mkswap /swapfile > /dev/null
echo '/swapfile none swap sw,pri=5 0 0' >> /etc/fstab
systemctl daemon-reload
swapon --all
"""

#: What the first bootstrap prints when it is killed.
KILLED_AT = b"receives the bundle, file 5 of"


class Stage(enum.IntEnum):
    """How far the POD has come; each is reached from the one before."""

    NO_POD = 0
    BOOTSTRAPPED = 1
    THIRD_JOINED = 2
    SECOND_LEFT = 3


_NODES_AT = {
    Stage.NO_POD: {},
    Stage.BOOTSTRAPPED: NODES,
    Stage.THIRD_JOINED: MACHINES,
    Stage.SECOND_LEFT: {"iec01": CONTROL_PLANE, "iec03": THIRD},
}

Done = subprocess.CompletedProcess[str]


@dataclass
class Machines:
    """`lab` made them; `iecpod` is another state directory, whose commands run where they can be reached.

    `steps` has what the command printed that led to a stage, `kubelets` when kubelets were started, by stage and node.
    """

    lab: Iecpod
    iecpod: Iecpod
    password_file: Path
    wrong_password_file: Path
    stage: Stage = Stage.NO_POD
    steps: dict[Stage, Done] = field(default_factory=dict)
    kubelets: dict[Stage, dict[str, str]] = field(default_factory=dict)
    refusal_to_leave: Done | None = None
    _failed: str = ""
    _said: str = ""

    def as_root(self, hostname: str, script: str) -> str:
        return self.lab.check("ssh", hostname, "--", "sudo", "sh", "-euc", script)

    def fingerprint(self, hostname: str) -> str:
        return self.as_root(hostname, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").split()[1]

    @cached_property
    def host_keys(self) -> list[str]:
        return [part for name, at in MACHINES.items() for part in ("--host-key", f"{at}={self.fingerprint(name)}")]

    @cached_property
    def bundle(self) -> Path:
        path = self.lab.root / "bundle"
        argv = [sys.executable, "-m", "iecpod", "bundle", "build", "--release", RELEASE, "--output", str(path)]
        subprocess.run(argv, env=self.lab.environ, stdin=subprocess.DEVNULL, check=True)
        return path

    @cached_property
    def before(self) -> Mapping[str, Sequence[str]]:
        """Taken when the machines are ready, before iecpod meets them."""
        return self._snapshots(tuple(MACHINES))

    def argv(
        self, *arguments: str, password: Path | None = None, addresses: Sequence[str] = tuple(NODES.values())
    ) -> list[str]:
        argv = [*self.iecpod.prefix, sys.executable, "-m", "iecpod", "bootstrap", *addresses]
        argv += ["--name", self.iecpod.pod, "--user", "iec", "--password-file", str(password or self.password_file)]
        return [*argv, *arguments]

    def bootstrap(
        self, *arguments: str, password: Path | None = None, addresses: Sequence[str] = tuple(NODES.values())
    ) -> Done:
        """As a job would: nothing of this machine's known_hosts, and keys that are expected."""
        argv = self.argv(*arguments, password=password, addresses=addresses)
        done = subprocess.run(
            argv, env=self.iecpod.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3000
        )
        self._said += done.stderr
        return done

    def bring_to(self, wanted: Stage) -> None:
        """From wherever the POD is; once a step has failed, no other is tried."""
        assert not self._failed, f"there is no POD to test, since an earlier step failed: {self._failed}"
        if self.stage > wanted:
            self._attempt("teardown", self.tear_down)
        ways = {
            Stage.BOOTSTRAPPED: self._bootstrap_killed_once,
            Stage.THIRD_JOINED: self._join_third,
            Stage.SECOND_LEFT: self._leave_second,
        }
        while self.stage < wanted:
            following = Stage(self.stage + 1)
            self._attempt(following.name, ways[following])
            self.stage = following

    def tear_down(self, left: Collection[str] | None = None) -> None:
        """The POD goes, and machines are what they were. `left` are those that a teardown before has left."""
        done = self.teardown()
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        expected = _NODES_AT[self.stage] if left is None else left
        assert set(done.stdout.splitlines()) == {f"removed node {name}" for name in expected}
        self.stage = Stage.NO_POD
        self.check_no_pod()

    def teardown(self) -> Done:
        done = self.iecpod.run("teardown")
        self._said += done.stderr
        return done

    def check_no_pod(self) -> None:
        assert not self.iecpod.pod_dir.exists()
        assert not (self.iecpod.root / "state/described/nodes").exists()
        self.check_as_before(*MACHINES)

    def check_as_before(self, *hostnames: str) -> None:
        changed = {
            name: differences(self.before[name], now, staying_modules(self._said, name))
            for name, now in self._snapshots(hostnames).items()
        }
        assert changed == {name: [] for name in hostnames}

    def check_end(self) -> None:
        """For the end of all tests, whatever they did."""
        if self.iecpod.pod_dir.exists():
            done = self.teardown()
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        self.check_no_pod()

    def addresses(self) -> dict[str, str]:
        """Of the cluster's nodes."""
        items = self.iecpod.get("nodes")["items"]
        return {item["metadata"]["name"]: item["status"]["addresses"][0]["address"] for item in items}

    def _attempt(self, name: str, step: Callable[[], None]) -> None:
        self._failed = name
        step()
        self._failed = ""

    def _bootstrap_killed_once(self) -> None:
        """With a bundle; the first run ends while the nodes receive it."""
        options = ("--bundle", str(self.bundle), "-s", SCENARIO, *self.host_keys)
        with subprocess.Popen(self.argv(*options), env=self.iecpod.environ, stderr=subprocess.PIPE) as killed:
            assert killed.stderr is not None
            seen = b"".join(_lines_until(killed.stderr, KILLED_AT))
            killed.kill()
        assert KILLED_AT in seen, seen.decode()
        self._step(Stage.BOOTSTRAPPED, self.bootstrap(*options))

    def _join_third(self) -> None:
        self._step(Stage.THIRD_JOINED, self.bootstrap(*self.host_keys, addresses=tuple(MACHINES.values())))

    def _leave_second(self) -> None:
        left = (CONTROL_PLANE, THIRD)
        self.refusal_to_leave = self.bootstrap(*self.host_keys, addresses=left)
        self._step(Stage.SECOND_LEFT, self.bootstrap(*self.host_keys, "--prune", addresses=left))

    def _step(self, stage: Stage, done: Done) -> None:
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        self.steps[stage] = done
        show = "systemctl show kubelet --property=ExecMainStartTimestampMonotonic"
        self.kubelets[stage] = {name: self.as_root(name, show) for name in _NODES_AT[stage]}

    def _snapshots(self, hostnames: Sequence[str]) -> dict[str, list[str]]:
        return run_on_nodes(hostnames, lambda hostname: self.as_root(hostname, SNAPSHOT).splitlines())


def _lines_until(stream: IO[bytes], end: bytes) -> Iterator[bytes]:
    for line in stream:
        yield line
        if end in line:
            return
