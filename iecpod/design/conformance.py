"""Which of upstream's end-to-end tests are run against a cluster, and how their program is called. Values only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from iecpod.model import Arch

#: A cross-section of upstream's conformance tests (test/conformance/testdata/conformance.yaml of Kubernetes 1.37.2):
#: one or two of each part of a cluster, short, and with no other images than the release has.
QUICK = (
    # pods
    "[sig-node] Pods should be submitted and removed [Conformance] [NodeConformance]",
    "[sig-node] Pods should support remote command execution over websockets [Conformance] [NodeConformance]",
    "[sig-node] InitContainer should invoke init containers on a RestartNever pod [Conformance] [NodeConformance]",
    # controllers
    "[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]",
    "[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]",
    # services, by address and by name
    "[sig-network] Services should serve a basic endpoint from pods [Conformance]",
    "[sig-network] Services should be able to create a functioning NodePort service [Conformance]",
    "[sig-network] DNS should provide DNS for the cluster [Conformance]",
    "[sig-network] DNS should provide DNS for services [Conformance]",
    # pod to pod, on a node and between nodes; node to pod
    "[sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http "
    "[Conformance] [NodeConformance]",
    "[sig-network] Networking Granular Checks: Pods should function for node-pod communication: http [LinuxOnly] "
    "[Conformance] [NodeConformance]",
    # volumes
    "[sig-storage] EmptyDir volumes should support (non-root,0666,default) [LinuxOnly] [Conformance] [NodeConformance]",
    "[sig-storage] ConfigMap should be consumable from pods in volume [Conformance] [NodeConformance]",
    "[sig-storage] Secrets should be consumable from pods in volume [Conformance] [NodeConformance]",
    "[sig-storage] Projected combined should project all components that make up the projection API [Projection] "
    "[Conformance] [NodeConformance]",
    "[sig-storage] Downward API volume should provide podname only [Conformance] [NodeConformance]",
)

_CONFORMANCE = r"\[Conformance\]"
#: As Sonobuoy's mode `non-disruptive-conformance`: two tests that drive pods off nodes.
_NOT_IN_FULL = r"\[Disruptive\]|\[Flaky\]"

#: A test that is interrupted has so long to end, and so has each step of its cleaning up.
_GRACE_SECONDS = 20

#: Of test/utils/image/manifest.go. Left out are `invalidRegistry`, from which tests pull to see that fail, and
#: `privateRegistry`, whose agnhost is another one.
_REGISTRIES = (
    "promoterE2eRegistry",
    "buildImageRegistry",
    "gcEtcdRegistry",
    "gcRegistry",
    "sigStorageRegistry",
    "dockerLibraryRegistry",
    "cloudProviderGcpRegistry",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """`focus` and `skip` are regular expressions of Go over the names of tests; `names` must be those selected.

    An empty `names` takes what is found.
    """

    title: str
    focus: str
    skip: str = ""
    names: tuple[str, ...] = ()


def quick_selection() -> Selection:
    return Selection("quick", f"({'|'.join(map(re.escape, QUICK))})$", names=QUICK)


def full_selection() -> Selection:
    return Selection("full", _CONFORMANCE, _NOT_IN_FULL)


def focused_selection(focus: str, skip: str = "") -> Selection:
    return Selection("focus", focus, skip)


@dataclass(frozen=True, slots=True, kw_only=True)
class E2eCall:
    """A call of `e2e.test`; it writes `junit_01.xml` into `results`."""

    program: Path
    kubectl: Path
    kubeconfig: Path
    arch: Arch
    results: Path

    def argv(self, selection: Selection, seconds: int) -> list[str]:
        """Ends the tests itself after `seconds`."""
        return [
            *self._base(selection),
            f"--kubeconfig={self.kubeconfig}",
            f"--kubectl-path={self.kubectl}",
            f"--node-os-arch={self.arch.debian}",
            f"--e2e-output-dir={self.results}",
            "--disable-log-dump",
            "--ginkgo.v",
            f"--ginkgo.timeout={seconds}s",
            f"--ginkgo.grace-period={_GRACE_SECONDS}s",
        ]

    def dry_argv(self, selection: Selection) -> list[str]:
        """Reports which tests would run, and asks no cluster."""
        return [*self._base(selection), "--ginkgo.dry-run"]

    def images_argv(self) -> list[str]:
        """Prints a line an image that any of the tests may run."""
        return [str(self.program), "--provider=skeleton", "--list-images"]

    def _base(self, selection: Selection) -> list[str]:
        return [
            str(self.program),
            "--provider=skeleton",
            f"--report-dir={self.results}",
            f"--ginkgo.focus={selection.focus}",
            *([f"--ginkgo.skip={selection.skip}"] if selection.skip else []),
            "--ginkgo.no-color",
        ]


def registries(repository: str) -> dict[str, str]:
    """For `KUBE_TEST_REPO_LIST`: whatever image a test names is looked for in the release's own repository.

    The nodes have them, and pull nothing.
    """
    return dict.fromkeys(_REGISTRIES, repository)
