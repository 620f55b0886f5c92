"""`iecpod logs`: all that shows what happened to a POD, from this machine and from its nodes, without its secrets.

Nothing is started, made or changed for it: it works on a POD that is half made, or whose libvirtd is dead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from iecpod.commands.plan import plan_on, plan_text
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.descriptors.pod_files import Descriptors, ReadPod
from iecpod.errors import IecpodError
from iecpod.logs.archive import Collection, Sink
from iecpod.logs.node_logs import GuestLogs, fetch_guest_logs
from iecpod.logs.scrub import Scrubber, secrets_of_descriptor, secrets_of_key, secrets_of_kubeconfig
from iecpod.options.site import Site
from iecpod.pods.directory import REPORT
from iecpod.pods.ports import PodState, PodTools
from iecpod.pods.resolve import PodInputs
from iecpod.ports import Reporter, Shell
from iecpod.provider import Provider
from iecpod.yaml.document import dump_yaml

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """What is known of the POD. `read` are its descriptors as far as they can be read.

    `inputs` is None where they are not valid, and `not_valid` says why. `site` is None where it is unknown.
    `nodes_left_out`, where there is one, is the reason why no node is asked. `heading` begins the manifest.
    """

    heading: str
    read: ReadPod
    inputs: PodInputs | None
    not_valid: str
    site: Site | None
    log_file: Path
    events_file: Path | None
    nodes_left_out: str = ""


def collect_logs(request: LogRequest, tools: PodTools, sink: Sink) -> None:
    """Fills the sink; what is not available is listed in its manifest."""
    collection = Collection(sink, Scrubber(frozenset(_known_secrets(request, tools.state))))
    _add_own(collection, request, tools.state)
    if request.site is None:
        collection.miss("machines", "where they come from is not known: " + request.not_valid)
    elif not tools.state.pod_dir.exists():
        collection.miss("machines", "the POD is not deployed from here")
    else:
        provider = tools.nodes.provider(request.site)
        provider.collect_logs(collection)
        with collection.attempt("iecpod/plan.txt"):
            _add_plan(collection, request, tools, provider)
        with collection.attempt("nodes"):
            _add_nodes(collection, request, tools, provider)
    collection.add_manifest(request.heading)


def _known_secrets(request: LogRequest, state: PodState) -> Iterator[str]:
    for document in (request.read.descriptors.pdf, request.read.descriptors.idf):
        yield from secrets_of_descriptor(document.texts())
    if request.inputs is not None:
        yield from request.inputs.loaded.secrets.texts
        decrypted: Descriptors = request.inputs.loaded.descriptors
        for document in (decrypted.pdf, decrypted.idf):
            yield from secrets_of_descriptor(document.texts())
    for path in (state.pod_dir / "keys").glob("*"):
        with suppress(OSError):
            text = path.read_text(errors="replace")
            yield from secrets_of_key(text) if "PRIVATE KEY" in text else ()
    with suppress(OSError):
        yield from secrets_of_kubeconfig(state.kubeconfig_path.read_text(errors="replace"))


def _add_own(collection: Collection, request: LogRequest, state: PodState) -> None:
    """What iecpod itself has written or read."""
    for path in sorted(request.log_file.parent.glob(request.log_file.name + "*")):
        collection.add_file(f"iecpod/{path.name}", path, 8 * _MIB)
    collection.add_file("iecpod/report.json", state.pod_dir / REPORT, _MIB)
    if request.events_file is not None:
        collection.add_file("iecpod/events.jsonl", request.events_file, 8 * _MIB)
    for file in request.read.files:
        _add_descriptor(collection, request.read, file)
    collection.add_tree("consoles", state.pod_dir / "console", "*", 8 * _MIB)


def _add_descriptor(collection: Collection, read: ReadPod, file: str) -> None:
    """As written; one from a server as it was understood. What was encrypted stays so."""
    name = f"descriptors/{file.rpartition('/')[2]}"
    if "://" not in file:
        if _leads_out(Path(file)):
            collection.miss(name, f"{file} is a link that leads out of its base")
        else:
            collection.add_file(name, Path(file), 8 * _MIB)
        return
    document = next((d for d in (read.descriptors.pdf, read.descriptors.idf) if d.file == file), None)
    if document is None:
        collection.miss(name, f"{file} could not be read")
    else:
        collection.add(name, dump_yaml(document.data).encode())


def _leads_out(descriptor: Path) -> bool:
    """Whether a descriptor below labs/LAB is a file of elsewhere, such as one that its author may not read."""
    base = descriptor.absolute().parents[2]
    return not descriptor.resolve().is_relative_to(base.resolve())


def _add_plan(collection: Collection, request: LogRequest, tools: PodTools, provider: Provider) -> None:
    if request.inputs is None:
        collection.miss("iecpod/plan.txt", request.not_valid)
        return
    try:
        provider.open(start=False)
        result = plan_on(request.inputs, tools, provider)
    finally:
        provider.close()
    problems = "".join(f"\n{problem}" for problem in result.problems)
    collection.add("iecpod/plan.txt", (plan_text(request.inputs, result) + problems + "\n").encode())


def _add_nodes(collection: Collection, request: LogRequest, tools: PodTools, provider: Provider) -> None:
    reason = request.nodes_left_out
    if request.inputs is None:
        reason = reason or request.not_valid
    elif not (tools.state.pod_dir / "keys").exists():
        reason = reason or "there are no keys: no node was made"
    if reason or request.inputs is None:
        collection.miss("nodes", reason)
        return
    order = request.inputs.order
    shells = tools.nodes.shells(provider.endpoints(order))
    try:
        results = _fetch(shells, first=order.hostnames[0], reporter=tools.run.reporter)
    finally:
        for shell in shells.values():
            shell.close()
    for hostname, result in results.items():
        if isinstance(result, IecpodError):
            collection.miss(f"nodes/{hostname}", result.cause)
            continue
        for name, content in result.files.items():
            collection.add(f"nodes/{hostname}/{name}", content)
        for missing in result.missing:
            name, _, why = missing.partition(": ")
            collection.miss(f"nodes/{hostname}/{name}", why)


def _fetch(shells: Mapping[str, Shell], *, first: str, reporter: Reporter) -> dict[str, GuestLogs | IecpodError]:
    """A node that does not answer does not prevent the logs of the others."""

    def work(hostname: str) -> GuestLogs | IecpodError:
        reporter.progress("collecting logs", hostname)
        try:
            return fetch_guest_logs(shells[hostname], with_cluster=hostname == first)
        except IecpodError as error:
            return error

    return run_on_nodes(list(shells), work)
