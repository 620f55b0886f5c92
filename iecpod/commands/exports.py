"""`iecpod export`, and the files that a deploy leaves for the jobs that come after it."""

from __future__ import annotations

from pathlib import Path

from iecpod.commands.guest_access import GuestAccess
from iecpod.files.writer import READABLE, replace_file
from iecpod.pods.resolve import PodInputs
from iecpod.render.exports import EXPORTS, ExportedNode, ExportedPod


def exported_pod(inputs: PodInputs, access: GuestAccess, pod_dir: Path) -> ExportedPod:
    kubeconfig = pod_dir / "kubeconfig"
    return ExportedPod(
        ref=inputs.request.ref,
        scenario=inputs.order.scenario.name,
        dns_domain=inputs.order.scenario.dns_domain,
        nodes=tuple(
            ExportedNode(hostname, inputs.order.scenario.role(inputs.order.spec.pdf.place(index)), address)
            for index, (hostname, address) in enumerate(inputs.order.addresses.items())
        ),
        user=inputs.order.release.user,
        private_key=access.private_key,
        known_hosts=access.known_hosts,
        kubeconfig=kubeconfig if kubeconfig.exists() else None,
        directory=pod_dir,
        command_prefix=access.command_prefix,
    )


def write_exports(pod: ExportedPod) -> None:
    for name, render in EXPORTS.items():
        replace_file(pod.directory / name, render(pod), READABLE)
