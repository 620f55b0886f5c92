"""`iecpod bootstrap`: joins the description of machines with the directory of the POD that they become."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.descriptors.load_pod import load_pod
from iecpod.errors import DescriptorError, HostError, UsageError
from iecpod.files.reader import read_own
from iecpod.files.trusted_paths import make_directory
from iecpod.files.writer import PRIVATE, READABLE, replace_file
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.pods.request import PodRequest
from iecpod.providers.existing.bootstrap import describe_machines, known_machines
from iecpod.providers.existing.nodes import MACHINES_NOTE
from iecpod.wiring.pod_tools import PodAdapters

#: Beside the PODs' directories, and not in one: a redeploy removes that, and goes by these descriptors.
_DIRECTORY = "described"


def described_base(layout: Layout, ref: PodRef) -> Path:
    """Where the descriptors of a POD are that `bootstrap` has described, whether it has or not."""
    return ref.below(layout.state_dir / _DIRECTORY)


def remove_described(layout: Layout, ref: PodRef) -> None:
    """Nothing of a POD that was not bootstrapped. Raises `HostError`."""
    base = described_base(layout, ref)
    if not base.is_dir() or base.is_symlink():
        return
    try:
        shutil.rmtree(base)
    except OSError as error:
        raise HostError(f"{error.filename}: {error.strerror}", "check the owner and the permissions there") from error
    with suppress(OSError):  # other PODs are described there
        base.parent.rmdir()


def find_described(layout: Layout) -> list[PodRef]:
    """Every POD that `bootstrap` has described, whether it is still there or not."""
    top = layout.state_dir / _DIRECTORY
    found = []
    for path in sorted(top.glob("*/*")) if top.is_dir() and not top.is_symlink() else ():
        with suppress(UsageError):  # a name that no POD has
            found.append(PodRef(path.parent.name, path.name))
    return found


@contextmanager
def described_request(
    tools: PodAdapters, *, layout: Layout, request: PodRequest, addresses: Sequence[IPv4Address]
) -> Iterator[PodRequest]:
    """The request with the descriptors that the machines are described by, for a block that deploys them.

    Where the block is refused before it changes a machine, the descriptors are those of before: of a POD that is new,
    nothing stays. Holding the POD's lock is for the caller.
    """
    is_new = not tools.state.pod_dir.exists()
    former = _FormerFiles.keep(tools, layout, request.ref)
    try:
        base = ensure_described(tools, layout, request, addresses)
        yield replace(request, options=replace(request.options, base_uri=str(base)))
    except BaseException:
        if is_new and not tools.state.saved().is_noted:
            tools.state.remove_pod_dir()
            remove_described(layout, request.ref)
        elif not is_new:
            former.put_back()
        raise


@dataclass(frozen=True, slots=True)
class _FormerFiles:
    """Content of descriptors, and of what is noted of machines; None where there was none."""

    tools: PodAdapters
    contents: Mapping[Path, bytes | None]
    changed: Mapping[IPv4Address, str]

    @classmethod
    def keep(cls, tools: PodAdapters, layout: Layout, ref: PodRef) -> _FormerFiles:
        paths = (*_descriptor_files(layout, ref), tools.state.pod_dir / MACHINES_NOTE)
        contents = {path: read_own(path) if path.exists() else None for path in paths}
        return cls(tools, contents, known_machines(tools.nodes.existing_tools()))

    def put_back(self) -> None:
        """Unless machines were changed since: then the new files are what says so."""
        if known_machines(self.tools.nodes.existing_tools()) != self.changed:
            return
        for path, content in self.contents.items():
            if content is not None:
                replace_file(path, content, PRIVATE if path.name == MACHINES_NOTE else READABLE)
            else:
                path.unlink(missing_ok=True)


def _descriptor_files(layout: Layout, ref: PodRef) -> tuple[Path, Path]:
    """PDF and IDF."""
    lab_dir = described_base(layout, ref) / "labs" / ref.lab
    return lab_dir / f"{ref.pod}.yaml", lab_dir / f"idf-{ref.pod}.yaml"


def ensure_described(tools: PodAdapters, layout: Layout, request: PodRequest, addresses: Sequence[IPv4Address]) -> Path:
    """The base that holds the POD's descriptors, with machines added and removed as they are given.

    Raises `UsageError` where the control plane would be another, or machines would leave without `--prune`.
    """
    base = described_base(layout, request.ref)
    lab_dir = base / "labs" / request.ref.lab
    if tools.state.saved().is_noted and _is_described(base, layout, request, addresses):
        return base
    tools.nodes.keys()  # makes the POD's directory
    user = request.login.user
    assert user is not None  # the command line asks for it
    described = describe_machines(tools.nodes.existing_tools(), addresses, user)
    for directory in (base.parent.parent, base.parent, base, lab_dir.parent, lab_dir):
        make_directory(directory)
    pdf, idf = _descriptor_files(layout, request.ref)
    replace_file(pdf, described.pdf, READABLE)
    replace_file(idf, described.idf, READABLE)
    return base


def _is_described(base: Path, layout: Layout, request: PodRequest, addresses: Sequence[IPv4Address]) -> bool:
    """Whether the descriptors of a POD that was deployed name exactly these machines. Raises as `ensure_described`.

    Descriptors that cannot be used are written again: a run may have been killed between one file and the other.
    """
    try:
        pod = load_pod(str(base), request.ref, layout.schemas_dir, scheme="stated", with_hypervisor=False)
    except DescriptorError:
        return False
    known = [node.interfaces[0].address for node in pod.spec.pdf.nodes]
    if known[0] != addresses[0]:
        raise UsageError(
            f"the control plane of POD {request.ref} is {known[0]}, and {addresses[0]} is given first",
            "give that machine first, choose another --name, or tear that POD down",
        )
    left = [str(address) for address in known if address not in addresses]
    if left and not request.prune:
        raise UsageError(
            f"{', '.join(left)} of POD {request.ref} is not given"
            if len(left) == 1
            else f"{', '.join(left)} of POD {request.ref} are not given",
            "give every machine of the POD; --prune drains those that are left out, and puts them back as they were",
        )
    return set(known) == set(addresses)
