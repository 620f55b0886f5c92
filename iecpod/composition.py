"""The composition root: joins commands with adapters. Nothing else knows both."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.adapters.embedded import EmbeddedHost
from iecpod.adapters.event_lines import Run
from iecpod.adapters.keys import PodKeys, ensure_pod_keys, find_pod_keys
from iecpod.adapters.libvirt_system import SystemHost
from iecpod.adapters.lock import RunLock, find_holder, pod_lock
from iecpod.adapters.reporters import make_reporter
from iecpod.adapters.seed_iso import make_seed_iso
from iecpod.adapters.ssh import SshShell
from iecpod.commands import deploy, guest_access, plan, redeploy, status, teardown
from iecpod.commands.exports import exported_pod, write_exports
from iecpod.commands.guest_access import GuestAccess
from iecpod.commands.outputs import RunOutputs, replace_file, saved_reports
from iecpod.commands.pod_state import pod_dir_of, recall, remember, remove_pod_dir
from iecpod.commands.recalled import Recalled
from iecpod.commands.report import Report
from iecpod.commands.request import EMBEDDED, PodRequest, lab_defaults
from iecpod.commands.resolve import PodInputs, resolve_request
from iecpod.commands.tools import PodTools
from iecpod.design.cluster import DesiredCluster
from iecpod.design.release import AptRepository, Release
from iecpod.design.release_file import load_release
from iecpod.design.resources import Emulator, Seed
from iecpod.errors import IecpodError, PreflightError, UsageError
from iecpod.images.bundle import build_bundle
from iecpod.images.fetch import fetch_key
from iecpod.images.helm import fetch_helm
from iecpod.images.kvm_probe import kvm_boots
from iecpod.images.manifests import load_manifest
from iecpod.images.release_images import ReleaseImages
from iecpod.layout import Layout
from iecpod.model import Arch, PodRef
from iecpod.ports import BaseImage, BundleFiles, Clock, HypervisorHost, Images, LockHolder, Reporter, Shell
from iecpod.render.calico import patch_calico_manifest
from iecpod.render.exports import EXPORTS, ExportedPod
from iecpod.render.manifest import PatchedManifest
from iecpod.render.pod import NodeSecrets
from iecpod.results import FAILED
from iecpod.wait import SystemClock

_CONSOLE_TAIL_BYTES = 256 * 1024

BuildCommand = Callable[[PodInputs, PodTools, Callable[[Report], None]], Report]


class PodAdapters:
    """`PodTools` with the real adapters behind it."""

    def __init__(
        self,
        layout: Layout,
        ref: PodRef,
        reporter: Reporter,
        apt_mirror: str,
        run_id: str = "",
        lock_seconds: float = 0.0,
    ) -> None:
        self._layout = layout
        self._lock = RunLock(lambda: pod_lock(layout, ref, wait_seconds=lock_seconds, tell=reporter.progress))
        self._apt_mirror = apt_mirror
        self.ref = ref
        self.run_id = run_id or _new_run_id()
        self.clock: Clock = SystemClock()
        self.reporter = reporter
        self.cloud_init_dir = layout.cloud_init_dir
        self.pod_dir = pod_dir_of(layout, ref)
        self.kubeconfig_path = self.pod_dir / "kubeconfig"

    def lock(self) -> AbstractContextManager[None]:
        return self._lock.held()

    def holder(self) -> LockHolder | None:
        return find_holder(self._layout, self.ref)

    def host(self, uri: str) -> HypervisorHost:
        if uri == EMBEDDED:
            return EmbeddedHost(
                self.pod_dir, self.ref, self.clock, capabilities_cache=self._layout.cache_dir / "libvirt"
            )
        return SystemHost(uri, self.ref)

    def images(self, release: Release, *, baked: bool) -> Images:
        return ReleaseImages(release, self._layout.cache_dir, self._apt_mirror, self.reporter, baked)

    def bundle(self, release: Release, arch: Arch) -> BundleFiles:
        built = build_bundle(release, arch, self._layout.cache_dir, self._apt_mirror, self.reporter)
        references = tuple(str(reference) for reference in built.artifact.facts["images"])
        return BundleFiles(debs=built.debs, programs=built.programs, images=built.images, references=references)

    def kvm_boots(self, image: BaseImage, emulator: Emulator, arch: Arch) -> bool:
        return kvm_boots(image, emulator, arch, self._layout.cache_dir)

    def keys(self) -> PodKeys:
        self._make_pod_dir()
        return ensure_pod_keys(self.pod_dir / "keys", str(self.ref))

    def secrets(self, hostnames: tuple[str, ...], *, keep: bool) -> NodeSecrets:
        with ExitStack() as stack:
            if keep or find_pod_keys(self.pod_dir / "keys") is not None:
                keys = self.keys()
            else:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="iecpod-keys-"))
                keys = ensure_pod_keys(Path(directory), str(self.ref))
            return NodeSecrets(
                authorized_key=keys.authorized_key,
                host_keys={hostname: keys.host_key(hostname) for hostname in hostnames},
            )

    def shells(self, host: HypervisorHost, cluster: DesiredCluster) -> Mapping[str, Shell]:
        return self.shells_at(host, {node.hostname: node.address for node in cluster.nodes}, cluster.release.user)

    def shells_at(self, host: HypervisorHost, addresses: Mapping[str, IPv4Address], user: str) -> Mapping[str, Shell]:
        keys = self.keys()
        keys.write_known_hosts({hostname: [str(address)] for hostname, address in addresses.items()})
        return {
            hostname: SshShell(
                hostname,
                str(address),
                user=user,
                private_key_file=keys.private_key_file,
                host_key=keys.host_key(hostname)[1],
                open_socket=host.open_socket,
            )
            for hostname, address in addresses.items()
        }

    def make_seed(self, seed: Seed) -> bytes:
        return make_seed_iso(seed)

    def read_console(self, path: str) -> str:
        try:
            with Path(path).open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _CONSOLE_TAIL_BYTES))
                return file.read().decode(errors="replace")
        except (FileNotFoundError, PermissionError):  # libvirt makes it for root alone on some hosts
            return ""

    def fetch_key(self, repository: AptRepository) -> bytes:
        return fetch_key(repository)

    def calico_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        calico = cluster.release.calico
        assert calico is not None  # the preflight refuses a release without
        texts = [load_manifest(manifest, self._layout.cache_dir, self.reporter) for manifest in calico.manifests]
        return patch_calico_manifest(texts, cluster, calico)

    def helm_programs(self, release: Release, arch: Arch) -> tuple[Path, ...]:
        assert release.helm is not None  # the phase asks for a release that has it
        return fetch_helm(release.helm, arch, self._layout.cache_dir, self.reporter)

    def free_bytes(self, path: str) -> int:
        existing = next(parent for parent in (Path(path), *Path(path).parents) if parent.exists())
        return shutil.disk_usage(existing).free

    def remove_pod_dir(self) -> None:
        remove_pod_dir(self.pod_dir)

    def remember(self, chosen: Recalled) -> None:
        self._make_pod_dir()
        remember(self.pod_dir, chosen)

    def recall(self) -> Recalled:
        return recall(self.pod_dir)

    def _make_pod_dir(self) -> None:
        # Others may pass through (libvirt's own user opens disks below), and list nothing.
        # Domains name files in the two below it, and libvirt makes files only.
        for directory in (self.pod_dir, self.pod_dir / "nvram", self.pod_dir / "console"):
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)


class Composition:
    """Runs commands with everything they need, for the command line."""

    def __init__(self, layout: Layout, *, environ: Mapping[str, str], is_terminal: bool) -> None:
        self.layout = layout
        self._environ = environ
        self._is_terminal = is_terminal

    def deploy(self, request: PodRequest, apt_mirror: str, outputs: RunOutputs) -> Report:
        return self._build(deploy.deploy, "deploy", request, apt_mirror, outputs)

    def redeploy(self, request: PodRequest, apt_mirror: str, outputs: RunOutputs) -> Report:
        return self._build(redeploy.redeploy, "redeploy", request, apt_mirror, outputs)

    def redeploy_changed(self, request: PodRequest, apt_mirror: str, outputs: RunOutputs) -> Report:
        return self._build(redeploy.redeploy_changed, "redeploy", request, apt_mirror, outputs)

    def _build(
        self, build: BuildCommand, verb: str, request: PodRequest, apt_mirror: str, outputs: RunOutputs
    ) -> Report:
        run = Run(_new_run_id(), verb, request.ref)
        with (
            saved_reports(outputs, run.ref, run.run_id) as save,
            self._pod(request, apt_mirror, run, outputs.events, tell_warnings=True) as (inputs, tools),
        ):

            def save_report(report: Report) -> None:
                told = report.rewritten(inputs.loaded.secrets.hide)
                replace_file(tools.pod_dir / "report.json", told.to_json())
                save(told)
                if report.outcome != FAILED:
                    write_exports(self._exported(inputs, tools))

            return build(inputs, tools, save_report)

    def plan(self, request: PodRequest, apt_mirror: str) -> tuple[str, bool]:
        """The plan as text, and whether there is anything to change. Raises `PreflightError` as a deploy would."""
        with self._pod(request, apt_mirror, tell_warnings=True) as (inputs, tools):
            result = plan.make_pod_plan(inputs, tools)
            if result.problems:
                raise PreflightError(result.problems, f"POD {request.ref} cannot be deployed here")
            return plan.plan_text(inputs, result), bool(result.prepared.plan.pending)

    def status(self, request: PodRequest) -> status.PodStatus:
        with self._pod(request) as (inputs, tools):
            return status.observe_status(inputs, tools)

    def teardown(self, request: PodRequest, events: Path | None) -> teardown.Removed:
        """Works by the POD's name alone where it was deployed from here, whatever became of its descriptors."""
        with self._reporter(Run(_new_run_id(), "teardown", request.ref), events) as reporter:
            tools = PodAdapters(self.layout, request.ref, reporter, "", lock_seconds=request.lock_seconds)
            with tools.lock():  # what is recalled is what the run that held it has left
                return teardown.teardown(tools, self._teardown_uri(request, tools))

    def ssh_argv(self, request: PodRequest, node: str | None, command: tuple[str, ...], *, tty: bool) -> list[str]:
        with self._pod(request) as (inputs, tools):
            hostname = guest_access.select_node(inputs, node)
            return guest_access.ssh_argv(inputs, self._access(inputs, tools), hostname, command, tty=tty)

    def kubectl_argv(self, request: PodRequest, arguments: tuple[str, ...], *, tty: bool) -> list[str]:
        with self._pod(request) as (inputs, tools):
            return guest_access.kubectl_argv(inputs, self._access(inputs, tools), arguments, tty=tty)

    def console_argv(self, request: PodRequest, node: str | None) -> list[str]:
        with self._pod(request) as (inputs, tools):
            hostname = guest_access.select_node(inputs, node)
            return guest_access.console_argv(inputs, self._access(inputs, tools), hostname)

    def export(self, request: PodRequest, name: str) -> str:
        """`name` is one of `EXPORTS`."""
        with self._pod(request) as (inputs, tools):
            return EXPORTS[name](self._exported(inputs, tools))

    def kubeconfig(self, request: PodRequest) -> str:
        with self._reporter() as reporter:
            tools = PodAdapters(self.layout, request.ref, reporter, "")
            try:
                return tools.kubeconfig_path.read_text()
            except FileNotFoundError:
                raise _not_deployed(request.ref) from None

    def build_bundle(self, release: str, arch: Arch | None, apt_mirror: str) -> Path:
        with self._reporter() as reporter:
            loaded = load_release(release, self.layout.releases_dir, self.layout.schemas_dir)
            built = build_bundle(loaded, arch or Arch.of_this_machine(), self.layout.cache_dir, apt_mirror, reporter)
            return built.path

    @contextmanager
    def _reporter(self, run: Run | None = None, events: Path | None = None) -> Iterator[Reporter]:
        told = (events, run) if events and run else None
        with make_reporter(self._environ, is_terminal=self._is_terminal, events=told) as reporter:
            yield reporter

    @contextmanager
    def _pod(
        self,
        request: PodRequest,
        apt_mirror: str = "",
        run: Run | None = None,
        events: Path | None = None,
        *,
        tell_warnings: bool = False,
    ) -> Iterator[tuple[PodInputs, PodAdapters]]:
        """`tell_warnings` is for verbs that judge descriptors; those of a POD that lives would tell them every time."""
        with self._reporter(run, events) as reporter:
            run_id = run.run_id if run else ""
            tools = PodAdapters(self.layout, request.ref, reporter, apt_mirror, run_id, request.lock_seconds)
            recalled = tools.recall()
            inputs = resolve_request(request, self.layout, recalled)
            with tools.lock() if run else nullcontext():
                if tools.recall() != recalled:  # by a run that was waited for
                    inputs = resolve_request(request, self.layout, tools.recall())
                for warning in inputs.loaded.warnings if tell_warnings else ():
                    reporter.warn(str(warning))
                with inputs.loaded.explained_errors():
                    yield inputs, tools

    def _access(self, inputs: PodInputs, tools: PodAdapters) -> GuestAccess:
        keys = find_pod_keys(tools.pod_dir / "keys")
        if keys is None:
            raise _not_deployed(tools.ref)
        host = tools.host(inputs.uri)
        return GuestAccess(
            command_prefix=host.command_prefix,
            uri=host.uri,
            private_key=keys.private_key_file,
            known_hosts=keys.known_hosts_file,
        )

    def _exported(self, inputs: PodInputs, tools: PodAdapters) -> ExportedPod:
        return exported_pod(inputs, self._access(inputs, tools), tools.pod_dir)

    def _teardown_uri(self, request: PodRequest, tools: PodAdapters) -> str:
        known = request.connect or tools.recall().uri or lab_defaults(request.ref.lab).connect
        return known or resolve_request(request, self.layout, Recalled()).uri


def _new_run_id() -> str:
    return uuid.uuid4().hex[:12]


def _not_deployed(ref: PodRef) -> IecpodError:
    return UsageError(
        f"POD {ref} is not deployed from here", f"deploy it with `iecpod deploy -l {ref.lab} -p {ref.pod}`"
    )
