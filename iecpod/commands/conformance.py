"""`iecpod conformance`: upstream's own end-to-end tests against a POD's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from iecpod.conformance.conformance_run import ConformanceOrder, ConformanceRun, E2eTests, Place
from iecpod.conformance.e2e_objects import missing_images, remove_namespaces
from iecpod.conformance.e2e_pod import E2ePod
from iecpod.conformance.in_pod import PodTests
from iecpod.conformance.on_host import Bench, HostTests
from iecpod.conformance.report import ConformanceReport, check_output
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.design.conformance import image_of_tests
from iecpod.errors import PreflightError, Problem, UsageError
from iecpod.pods.ports import PodState, PodTools, RunContext
from iecpod.pods.resolve import PodInputs
from iecpod.ports import WayIn
from iecpod.release.go_source import GoSource

#: Namespaces take some seconds to go, and minutes on emulated guests whose pods end slowly.
_REMOVAL_SECONDS = 300.0
_DIRECTORY = "conformance"


def run_conformance(inputs: PodInputs, tools: PodTools, bench: Bench, order: ConformanceOrder) -> ConformanceReport:
    """Runs the tests, and removes what they leave in the cluster, also when it is interrupted.

    Raises `UsageError`, `PreflightError` and `ImageError` before any test has started.
    """
    _check_possible(inputs, tools.state)
    if order.output is not None:
        check_output(order.output)
    provider = tools.nodes.provider(inputs.order.site)
    first = inputs.order.hostnames[0]
    shell = tools.nodes.shells(provider.endpoints(inputs.order))[first]
    kubectl = Kubectl(shell, tools.nodes.host_kubectl(provider.way, inputs.order.release))
    place = Place(tools.state.pod_dir / _DIRECTORY)
    wait_seconds = 0.0
    with _tests(inputs, tools, bench, provider.way, kubectl, place) as tests:
        run = ConformanceRun(tools.run, tests, order, place)
        names = run.select()
        try:
            report = run.run(names)
            wait_seconds = _REMOVAL_SECONDS
            return report
        finally:
            remove_namespaces(kubectl, tools.run.clock, tools.run.reporter, wait_seconds=wait_seconds)


@contextmanager
def _tests(
    inputs: PodInputs, tools: PodTools, bench: Bench, way: WayIn, kubectl: Kubectl, place: Place
) -> Iterator[E2eTests]:
    """Of the sources of the cluster's Kubernetes where they are compiled here; else of upstream's image."""
    source = _compiled(inputs)
    if source is not None:
        _check_images(inputs, source, kubectl)
        host_tests = HostTests(inputs, bench, place, tools.state.kubeconfig_path, way.command_prefix)
        host_tests.prepare(source.test_images)
        _remove_left(kubectl, tools.run)
        yield host_tests
        return
    _remove_left(kubectl, tools.run)
    pod = E2ePod(
        kubectl=kubectl,
        clock=tools.run.clock,
        reporter=tools.run.reporter,
        namespace=f"iecpod-conformance-{tools.run.run_id}",
        image=image_of_tests(inputs.order.release),
        reader_image=inputs.order.release.nginx_image,
    )
    pod_tests = PodTests(pod, place, inputs.order.release.kubernetes_version)
    try:
        pod_tests.prepare()
        yield pod_tests
    finally:
        pod_tests.close()


def _remove_left(kubectl: Kubectl, run: RunContext) -> None:
    """Of a run that was killed."""
    remove_namespaces(kubectl, run.clock, run.reporter, wait_seconds=_REMOVAL_SECONDS)


def _compiled(inputs: PodInputs) -> GoSource | None:
    source = inputs.order.release.go
    return source if source is not None and source.tests is not None else None


def _check_possible(inputs: PodInputs, state: PodState) -> None:
    release = inputs.order.release
    if _compiled(inputs) is None and not image_of_tests(release):
        raise UsageError(
            f"upstream's tests of release {release.name} are neither compiled here nor an image that nodes can pull",
            "deploy a release whose modules have `tests`, such as k8s-1.37-go, or one of Kubernetes 1.25 or later "
            "whose nodes reach a registry",
        )
    if not state.kubeconfig_path.is_file():
        raise UsageError(
            f"POD {inputs.request.ref} has no cluster that was deployed from here",
            f"run `{inputs.request.command('deploy')}`",
        )


def _check_images(inputs: PodInputs, source: GoSource, kubectl: Kubectl) -> None:
    """Nodes pull nothing: a test whose image is not there would wait for it for minutes, and fail."""
    repository = inputs.order.release.image_repository
    wanted = {f"{repository}/{name}:{tag}" for name, tags in source.test_images.items() for tag in tags}
    problems = [
        Problem(
            message=f"node {node} has no image {image}",
            remedy=f"`{inputs.request.command('redeploy')}`: the release had no such image when the POD was deployed",
        )
        for node, images in missing_images(kubectl, wanted).items()
        for image in images
    ]
    if problems:
        raise PreflightError(problems, f"upstream's tests cannot run on POD {inputs.request.ref}")
