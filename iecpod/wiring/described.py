"""`iecpod bootstrap`: joins the description of machines with the directory of the POD that they become."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.commands.request import PodRequest
from iecpod.descriptors.pod import load_pod
from iecpod.errors import UsageError
from iecpod.file_writer import READABLE, replace_file
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.providers.existing.bootstrap import describe_machines
from iecpod.trusted import make_directory
from iecpod.wiring.pod_tools import PodAdapters

#: Beside the PODs' directories, and not in one: a redeploy removes that, and goes by these descriptors.
_DIRECTORY = "described"


def described_base(layout: Layout, ref: PodRef) -> Path:
    """Where the descriptors of a POD are that `bootstrap` has described, whether it has or not."""
    return ref.below(layout.state_dir / _DIRECTORY)


def remove_described(layout: Layout, ref: PodRef) -> None:
    """Nothing of a POD that nobody has bootstrapped."""
    base = described_base(layout, ref)
    if base.is_dir() and not base.is_symlink():
        shutil.rmtree(base)


def ensure_described(tools: PodAdapters, layout: Layout, request: PodRequest, addresses: Sequence[IPv4Address]) -> Path:
    """The base that holds the POD's descriptors. A POD that was deployed keeps those that it has.

    Raises `UsageError` where it was deployed on other machines.
    """
    base = described_base(layout, request.ref)
    lab_dir = base / "labs" / request.ref.lab
    if tools.state.saved().is_noted:
        _check_same(base, layout, request, addresses)
        return base
    tools.nodes.keys()  # makes the POD's directory
    user = request.login.user
    assert user is not None  # the command line asks for it
    described = describe_machines(tools.nodes.existing_tools(), addresses, user)
    for directory in (base.parent.parent, base.parent, base, lab_dir.parent, lab_dir):
        make_directory(directory)
    replace_file(lab_dir / f"{request.ref.pod}.yaml", described.pdf, READABLE)
    replace_file(lab_dir / f"idf-{request.ref.pod}.yaml", described.idf, READABLE)
    return base


def _check_same(base: Path, layout: Layout, request: PodRequest, addresses: Sequence[IPv4Address]) -> None:
    pod = load_pod(str(base), request.ref, layout.schemas_dir, scheme="stated", with_hypervisor=False)
    known = [node.interfaces[0].address for node in pod.spec.pdf.nodes]
    if known != list(addresses):
        raise UsageError(
            f"POD {request.ref} was made of {', '.join(map(str, known))}",
            "give these machines in this order, another --name, or tear that POD down first",
        )
