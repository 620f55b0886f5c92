"""The order of files, and a limit on the time of the whole run: the least important ones are skipped by name for it.

`IECPOD_E2E_SECONDS` is the limit; without it everything runs.
"""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

Table = Sequence[tuple[str, float]]

#: By importance, with the seconds that they take on a usual machine of two cores without KVM. A directory stands for
#: the deploy of its POD, which its first file takes besides its own seconds. Every file is listed.
#: Contract tests of compiled programs are skipped in `tox -e contract` of a fresh machine: here those are compiled.
USUAL_SECONDS: Table = (
    ("faults/test_faults.py", 120),
    ("faults/test_refused.py", 90),
    ("local", 810),
    ("local/test_deploy.py", 10),
    ("local/test_guests.py", 90),
    ("local/test_cluster.py", 90),
    ("local/test_exports.py", 90),
    ("local/test_logs.py", 90),
    ("local/test_progress.py", 90),
    ("local/test_secrets.py", 90),
    ("local/test_unpullable.py", 500),
    ("local/test_upstream.py", 2200),
    ("../contract/render/test_kubeadm.py", 90),
    ("../contract/render/test_kubelet.py", 90),
    ("../contract/images/test_containerd.py", 90),
    ("nics/test_trunk.py", 300),
    ("bundle/test_bundle.py", 700),
    ("connected/test_node.py", 700),
    ("connected/test_cluster.py", 900),
    ("clock/test_clock.py", 150),
    ("../contract/phases/test_api.py", 300),
    ("../contract/cni/test_pod_networks_applied.py", 300),
    ("../contract/cni/test_kube_router_runs.py", 300),
    ("wrecked", 810),
    ("wrecked/test_nodes.py", 500),
    ("wrecked/test_redeploy.py", 500),
    ("wrecked/test_wrecked.py", 500),
    ("checkpoint", 810),
    ("checkpoint/test_checkpoint.py", 1500),
    ("checkpoint/test_full_disk.py", 300),
    ("existing/test_existing_machines.py", 3800),
    ("system/test_system.py", 1200),
    ("arm/test_arm.py", 1250),
    ("debian12/test_debian12.py", 1500),
)
_OTHERS = 90.0


def place_of(file: str, table: Table = USUAL_SECONDS) -> tuple[int, str, int]:
    """To sort by: the directory, whose files stay together, then the file. Unlisted tests from elsewhere are ""."""
    if not file:
        return (-1, "", 0)
    listed = [path for path, _ in table]
    directory = _directory_of(file)
    of_directory = (n for n, path in enumerate(listed) if directory in (path, _directory_of(path)))
    return (next(of_directory, len(listed)), directory, listed.index(file) if file in listed else len(listed))


def _directory_of(file: str) -> str:
    return str(PurePosixPath(file).parent)


@dataclass
class TimeBudget:
    """`limit_seconds` None is no limit. A machine is as slow as its slowest file, never faster than usual."""

    limit_seconds: float | None
    table: Table = USUAL_SECONDS
    started: float = field(default_factory=time.monotonic)
    slowness: float = 1.0
    _file: str = ""
    _file_started: float = 0.0
    _file_usual: float = 0.0
    _refused: str = ""
    _deployed: set[str] = field(default_factory=set)

    @classmethod
    def of_environment(cls) -> TimeBudget:
        limit = os.environ.get("IECPOD_E2E_SECONDS")
        return cls(float(limit) if limit else None)

    def refusal(self, file: str, now: float) -> str:
        """Why a file is skipped, empty where it runs; asked before each of its tests."""
        if file != self._file:
            self._measure(now)
            self._file, self._file_started, self._file_usual = file, now, self._usual_seconds(file)
            self._refused = self._judge(file, now)
            if not self._refused:
                self._deployed.add(_directory_of(file))
        return self._refused

    def leave_out(self, seconds: float) -> None:
        """What the file that runs has waited for, and that is no test of it: the image of a machine that is fresh."""
        self._file_started += seconds

    def _usual_seconds(self, file: str) -> float:
        usual, directory = dict(self.table), _directory_of(file)
        return usual.get(file, _OTHERS) + (0.0 if directory in self._deployed else usual.get(directory, 0.0))

    def _measure(self, now: float) -> None:
        if self._file in dict(self.table) and not self._refused:
            self.slowness = max(self.slowness, (now - self._file_started) / self._file_usual)

    def _judge(self, file: str, now: float) -> str:
        if self.limit_seconds is None:
            return ""
        left = self.limit_seconds - (now - self.started)
        needed = self._file_usual * self.slowness
        if needed <= left:
            return ""
        return (
            f"time budget: {file} takes about {needed:.0f} s on this machine, and {max(left, 0):.0f} s are left; "
            f"run it by hand: pytest {posixpath.normpath(f'tests/e2e/{file}')}"
        )
