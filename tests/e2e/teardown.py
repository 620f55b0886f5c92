"""What ends every POD of these tests: it is torn down, and nothing of it is left on the host."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.command import Iecpod


@dataclass(frozen=True)
class HostSnapshot:
    """What a POD could leave behind on a host."""

    namespaces: frozenset[str]
    mounts: frozenset[str]
    processes: frozenset[str]
    links: frozenset[str]

    @classmethod
    def take(cls) -> HostSnapshot:
        def lines(*argv: str) -> list[str]:
            return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()

        interesting = ("qemu-system", "libvirtd", "virtlogd", "dnsmasq")
        return cls(
            namespaces=frozenset(line.split()[0] for line in lines("ip", "netns", "list") if line),
            mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            processes=frozenset(
                line
                for line in lines("ps", "-e", "-o", "pid=,args=")
                # A zombie has ended; when init takes note of it is not ours to say.
                if any(name in line for name in interesting) and "<defunct>" not in line
            ),
            links=frozenset(line.split()[0] for line in lines("ip", "-brief", "link")),
        )


def check_teardown(command: Iecpod, host_before: HostSnapshot) -> None:
    """Tears down. All machines are reported as removed, and only the installation and its logs stay."""
    machines, cached = command.machines(), _files(command.cache_dir)
    printed = command.check("teardown").splitlines()
    assert {line for line in printed if line.startswith("removed domain ")} == {f"removed domain {n}" for n in machines}
    assert HostSnapshot.take() == host_before
    assert not command.pod_dir.exists()
    state = command.root / "state"
    left = {path for path in _files(state) if state / "log" not in path.parents}
    assert left == {state / "installation"}, "the next deploy from there is one of the same installation"
    assert _files(command.cache_dir) == cached


@contextmanager
def torn_down(command: Iecpod) -> Iterator[Iecpod]:
    """For fixtures: what `check_teardown` finds at the end is an error of the last test, and the run fails."""
    host_before = HostSnapshot.take()
    try:
        yield command
    finally:
        if command.pod_dir.exists():
            check_teardown(command, host_before)
        assert HostSnapshot.take() == host_before


def _files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}
