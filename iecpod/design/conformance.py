"""Which of upstream's end-to-end tests are run against a cluster, and how their program is called. Values only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iecpod.model import Arch
from iecpod.release.kubernetes_version import kubernetes_minor
from iecpod.release.release import Release

#: A cross-section of upstream's conformance tests (test/conformance/testdata/conformance.yaml of Kubernetes 1.37.2):
#: one or two of each part of a cluster, short, and with no other images than the release has. Where the tags of a
#: name are in it is another matter with each version.
QUICK = (
    # pods
    "[sig-node] Pods should be submitted and removed",
    "[sig-node] Pods should support remote command execution over websockets",
    "[sig-node] InitContainer should invoke init containers on a RestartNever pod",
    # controllers
    "[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones",
    "[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted",
    # services, by address and by name
    "[sig-network] Services should serve a basic endpoint from pods",
    "[sig-network] Services should be able to create a functioning NodePort service",
    "[sig-network] DNS should provide DNS for the cluster",
    "[sig-network] DNS should provide DNS for services",
    # pod to pod, on a node and between nodes; node to pod
    "[sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http",
    "[sig-network] Networking Granular Checks: Pods should function for node-pod communication: http",
    # volumes
    "[sig-storage] EmptyDir volumes should support (non-root,0666,default)",
    "[sig-storage] ConfigMap should be consumable from pods in volume",
    "[sig-storage] Secrets should be consumable from pods in volume",
    "[sig-storage] Projected combined should project all components that make up the projection API",
    "[sig-storage] Downward API volume should provide podname only",
)

_CONFORMANCE = r"\[Conformance\]"
_TAG = re.compile(r" \[[^\]]*\]")
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
    """`focus` and `skip` are regular expressions of Go over the names of tests, with their tags.

    `wanted` are names without tags: of what is found, those and no others; empty takes all.
    """

    title: str
    focus: str
    skip: str = ""
    wanted: tuple[str, ...] = ()

    def missing(self, found: Iterable[str]) -> list[str]:
        known = set(map(_without_tags, found))
        return [name for name in self.wanted if name not in known]

    def choose(self, found: Iterable[str]) -> tuple[str, ...]:
        """The tests to run, by name."""
        return tuple(sorted(name for name in found if not self.wanted or _without_tags(name) in self.wanted))

    def only(self, names: Sequence[str]) -> Selection:
        """That finds `names` and nothing else, where not all that it finds is chosen."""
        if not self.wanted:
            return self
        return replace(self, focus=f"({'|'.join(map(re.escape, names))})$")


def _without_tags(name: str) -> str:
    """The one that it begins with stays."""
    return _TAG.sub("", name)


def quick_selection() -> Selection:
    return Selection("quick", _CONFORMANCE, wanted=QUICK)


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


def image_of_tests(release: Release) -> str:
    """Upstream's image of the tests of that Kubernetes; empty where nodes cannot pull it, or its tests are too old.

    In 1.25 it moved to registry.k8s.io, and its tests to the Ginkgo that is read here.
    """
    if release.needs_no_network or kubernetes_minor(release.kubernetes_version) < (1, 25):
        return ""
    return f"registry.k8s.io/conformance:v{release.kubernetes_version}"


def pod_environment(selection: Selection, seconds: int, *, dry_run: bool) -> dict[str, str]:
    """Of upstream's image, by its test/conformance/image/go-runner."""
    variables = {
        "E2E_EXTRA_GINKGO_ARGS": f"--v --timeout={seconds}s --grace-period={_GRACE_SECONDS}s",
        "E2E_FOCUS": selection.focus,
        "E2E_PARALLEL": "false",
        "E2E_PROVIDER": "skeleton",
        "E2E_SKIP": selection.skip,
        **({"E2E_DRYRUN": "true"} if dry_run else {}),
    }
    # Kubernetes would take `$(NAME)` for a variable.
    return {name: value.replace("$", "$$") for name, value in variables.items()}


def registries(repository: str) -> dict[str, str]:
    """For `KUBE_TEST_REPO_LIST`: whatever image a test names is looked for in the release's own repository.

    The nodes have them, and pull nothing.
    """
    return dict.fromkeys(_REGISTRIES, repository)
