"""`iecpod conformance`: upstream's own end-to-end tests against a POD's cluster, from the host that deployed it."""

from __future__ import annotations

from dataclasses import replace

from iecpod.commands.conformance_report import ConformanceReport, check_output
from iecpod.commands.conformance_run import Bench, ConformanceOrder, ConformanceRun
from iecpod.commands.guest_access import node_addresses
from iecpod.commands.resolve import PodInputs
from iecpod.commands.tools import PodTools
from iecpod.design.go_source import GoSource
from iecpod.errors import PreflightError, Problem, UsageError
from iecpod.phases.e2e_objects import missing_images, remove_namespaces
from iecpod.phases.kubectl import Kubectl

#: Namespaces take some seconds to go, and minutes on emulated guests whose pods end slowly.
_REMOVAL_SECONDS = 300.0


def run_conformance(inputs: PodInputs, tools: PodTools, bench: Bench, order: ConformanceOrder) -> ConformanceReport:
    """Runs the tests, and removes what they leave in the cluster, also when it is interrupted.

    Raises `UsageError`, `PreflightError` and `ImageError` before any test has begun.
    """
    source = _source_of(inputs)
    if not tools.kubeconfig_path.is_file():
        raise UsageError(
            f"POD {tools.ref} has no cluster that was deployed from here", f"run `{inputs.request.command('deploy')}`"
        )
    if order.output is not None:
        check_output(order.output)
    host = tools.host(inputs.uri)
    first, address = next(iter(node_addresses(inputs).items()))
    kubectl = Kubectl(tools.shells_at(host, {first: address}, inputs.release.user)[first])
    _check_images(inputs, source, kubectl)
    run = ConformanceRun(inputs, tools, bench, order, bench.programs(inputs.release), host.command_prefix)
    run.prepare()
    run.check_images(source.test_images)
    order = replace(order, selection=run.select())
    remove_namespaces(kubectl, tools.clock, tools.reporter, wait_seconds=_REMOVAL_SECONDS)  # of a run that was killed
    wait_seconds = 0.0
    try:
        report = run.run(order)
        wait_seconds = _REMOVAL_SECONDS
        return report
    finally:
        remove_namespaces(kubectl, tools.clock, tools.reporter, wait_seconds=wait_seconds)


def _source_of(inputs: PodInputs) -> GoSource:
    release = inputs.release
    source = release.bundle.go if release.bundle is not None else None
    if source is None or source.tests is None:
        raise UsageError(
            f"upstream's tests of release {release.name} are not compiled here",
            f"run their image registry.k8s.io/conformance:v{release.kubernetes_version} in the cluster, with Sonobuoy "
            f"or Hydrophone and the file of `{inputs.request.command('kubeconfig')}`; or deploy a release whose "
            "modules have `tests`, such as k8s-1.37-go",
        )
    return source


def _check_images(inputs: PodInputs, source: GoSource, kubectl: Kubectl) -> None:
    """Nodes pull nothing: a test whose image is not there would wait for it for minutes, and fail."""
    repository = inputs.release.image_repository
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
