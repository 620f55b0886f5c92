"""The composition root: joins commands with adapters. Nothing else knows both."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from iecpod.adapters.embedded import EmbeddedHost
from iecpod.adapters.keys import PodKeys, ensure_pod_keys, find_pod_keys
from iecpod.adapters.libvirt_system import SystemHost
from iecpod.adapters.lock import pod_lock
from iecpod.adapters.reporters import make_reporter
from iecpod.adapters.seed_iso import make_seed_iso
from iecpod.adapters.ssh import SshShell
from iecpod.commands import deploy, guest_access, plan, status, teardown
from iecpod.commands.guest_access import GuestAccess
from iecpod.commands.report import Report
from iecpod.commands.request import EMBEDDED, PodRequest, lab_defaults
from iecpod.commands.resolve import PodInputs, Recalled, resolve_request
from iecpod.descriptors.addressing import Scheme
from iecpod.design.cluster import DesiredCluster
from iecpod.design.release import AptRepository, Release
from iecpod.design.release_file import load_release
from iecpod.design.resources import Emulator, Seed
from iecpod.errors import IecpodError, PreflightError, UsageError
from iecpod.images.bundle import build_bundle
from iecpod.images.fetch import fetch_key
from iecpod.images.kvm_probe import kvm_boots
from iecpod.images.manifests import load_manifest
from iecpod.images.release_images import ReleaseImages
from iecpod.layout import Layout
from iecpod.model import Arch, PodRef
from iecpod.ports import BaseImage, Clock, HypervisorHost, Images, Reporter, Shell
from iecpod.render.calico import patch_calico_manifest
from iecpod.render.manifest import PatchedManifest
from iecpod.render.pod import NodeSecrets
from iecpod.wait import SystemClock

_CONSOLE_TAIL_BYTES = 256 * 1024


class PodAdapters:
    """`PodTools` with the real adapters behind it."""

    def __init__(self, layout: Layout, ref: PodRef, reporter: Reporter, apt_mirror: str) -> None:
        self._layout = layout
        self._apt_mirror = apt_mirror
        self.ref = ref
        self.clock: Clock = SystemClock()
        self.reporter = reporter
        self.cloud_init_dir = layout.cloud_init_dir
        self.pod_dir = layout.state_dir / "pods" / ref.lab / ref.pod
        self.kubeconfig_path = self.pod_dir / "kubeconfig"

    def lock(self) -> AbstractContextManager[None]:
        return pod_lock(self._layout, self.ref, wait_seconds=0)

    def host(self, uri: str) -> HypervisorHost:
        if uri == EMBEDDED:
            return EmbeddedHost(
                self.pod_dir, self.ref, self.clock, capabilities_cache=self._layout.cache_dir / "libvirt"
            )
        return SystemHost(uri, self.ref)

    def images(self, release: Release) -> Images:
        return ReleaseImages(release, self._layout.cache_dir, self._apt_mirror, self.reporter)

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
        keys = self.keys()
        keys.write_known_hosts({node.hostname: [str(node.address)] for node in cluster.nodes})
        return {
            node.hostname: SshShell(
                node.hostname,
                str(node.address),
                user=cluster.release.user,
                private_key_file=keys.private_key_file,
                host_key=keys.host_key(node.hostname)[1],
                open_socket=host.open_socket,
            )
            for node in cluster.nodes
        }

    def make_seed(self, seed: Seed) -> bytes:
        return make_seed_iso(seed)

    def read_console(self, path: str) -> str:
        try:
            with Path(path).open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _CONSOLE_TAIL_BYTES))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def fetch_key(self, repository: AptRepository) -> bytes:
        return fetch_key(repository)

    def calico_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        calico = cluster.release.calico
        assert calico is not None  # the preflight refuses a release without
        texts = [load_manifest(manifest, self._layout.cache_dir, self.reporter) for manifest in calico.manifests]
        return patch_calico_manifest(texts, cluster, calico)

    def free_bytes(self, path: str) -> int:
        existing = next(parent for parent in (Path(path), *Path(path).parents) if parent.exists())
        return shutil.disk_usage(existing).free

    def remove_pod_dir(self) -> None:
        if self.pod_dir.exists():
            shutil.rmtree(self.pod_dir)
        lab_dir = self.pod_dir.parent
        if lab_dir.exists() and not any(lab_dir.iterdir()):
            lab_dir.rmdir()

    def remember(self, uri: str, addressing: Scheme) -> None:
        known = self.recall()
        for what, noted, wanted in (("on", known.uri, uri), ("with addresses", known.addressing, addressing)):
            if noted not in (None, wanted):
                raise UsageError(
                    f"POD {self.ref} was deployed {what} {noted}, not {wanted}",
                    "take it down first with `iecpod teardown`, or leave the option out",
                )
        self._make_pod_dir()
        (self.pod_dir / "hypervisor").write_text(uri + "\n")
        (self.pod_dir / "addressing").write_text(addressing + "\n")

    def recall(self) -> Recalled:
        try:
            uri = (self.pod_dir / "hypervisor").read_text().strip()
        except FileNotFoundError:
            return Recalled()
        addressing = self.pod_dir / "addressing"
        is_compact = addressing.exists() and addressing.read_text().strip() == "compact"
        return Recalled(uri=uri, addressing="compact" if is_compact else "fuel")

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

    def deploy(self, request: PodRequest, apt_mirror: str, report_file: Path | None) -> Report:
        with self._pod(request, apt_mirror) as (inputs, tools):

            def save_report(report: Report) -> None:
                for path in (tools.pod_dir / "report.json", report_file):
                    if path is not None:
                        path.write_text(report.to_json())

            return deploy.deploy(inputs, tools, save_report)

    def plan(self, request: PodRequest, apt_mirror: str) -> tuple[str, bool]:
        """The plan as text, and whether there is anything to change. Raises `PreflightError` as a deploy would."""
        with self._pod(request, apt_mirror) as (inputs, tools):
            result = plan.make_pod_plan(inputs, tools)
            if result.problems:
                raise PreflightError(result.problems, f"POD {request.ref} cannot be deployed here")
            return plan.plan_text(inputs, result), bool(result.prepared.plan.pending)

    def status(self, request: PodRequest) -> status.PodStatus:
        with self._pod(request) as (inputs, tools):
            return status.observe_status(inputs, tools)

    def teardown(self, request: PodRequest) -> teardown.Removed:
        """Works by the POD's name alone where it was deployed from here, whatever became of its descriptors."""
        with self._reporter() as reporter:
            tools = PodAdapters(self.layout, request.ref, reporter, "")
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
    def _reporter(self) -> Iterator[Reporter]:
        with make_reporter(self._environ, is_terminal=self._is_terminal) as reporter:
            yield reporter

    @contextmanager
    def _pod(self, request: PodRequest, apt_mirror: str = "") -> Iterator[tuple[PodInputs, PodAdapters]]:
        with self._reporter() as reporter:
            tools = PodAdapters(self.layout, request.ref, reporter, apt_mirror)
            inputs = resolve_request(request, self.layout, tools.recall())
            for warning in inputs.loaded.warnings:
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

    def _teardown_uri(self, request: PodRequest, tools: PodAdapters) -> str:
        known = request.connect or tools.recall().uri or lab_defaults(request.ref.lab).connect
        return known or resolve_request(request, self.layout, Recalled()).uri


def _not_deployed(ref: PodRef) -> IecpodError:
    return UsageError(
        f"POD {ref} is not deployed from here", f"deploy it with `iecpod deploy -l {ref.lab} -p {ref.pod}`"
    )
