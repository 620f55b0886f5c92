"""The composition root: joins commands with adapters. Nothing else knows both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from iecpod import bootstrap
from iecpod.adapters.event_lines import Run
from iecpod.adapters.keys import find_pod_keys
from iecpod.adapters.reporters import make_reporter
from iecpod.commands import deploy, guest_access, plan, redeploy, status, teardown
from iecpod.commands.bundles import BundleOrder
from iecpod.commands.conformance import run_conformance
from iecpod.commands.conformance_report import ConformanceReport
from iecpod.commands.conformance_run import ConformanceOrder
from iecpod.commands.exports import exported_pod, write_exports
from iecpod.commands.guest_access import GuestAccess
from iecpod.commands.outputs import RunOutputs, saved_reports
from iecpod.commands.pod_state import read_kubeconfig
from iecpod.commands.recalled import Recalled
from iecpod.commands.report import Report
from iecpod.commands.request import DefaultSoftware, PodRequest, lab_defaults
from iecpod.commands.resolve import PodInputs, demanded_digest, resolve_request
from iecpod.commands.tools import PodTools
from iecpod.conformance_bench import ConformanceBench
from iecpod.design.bundle_manifest import not_whole
from iecpod.design.go_bump import Bump
from iecpod.design.image_archive import check_archives
from iecpod.design.machines import ProviderName, Site
from iecpod.design.release_file import known_releases, load_release, parse_release, read_release, select_variant
from iecpod.design.release_trust import check_trust
from iecpod.design.supply import apply_supply
from iecpod.errors import IecpodError, ImageError, PreflightError, UsageError
from iecpod.file_writer import READABLE, replace_file
from iecpod.images.bundle import BundleBuild
from iecpod.images.bundle_files import StoredBundle, check_copy, check_taken_in, write_copy
from iecpod.images.bundle_trust import BundleTrust
from iecpod.images.cache import Cache
from iecpod.images.go_bump import GoBump
from iecpod.images.go_sources import check_go_sources
from iecpod.images.go_toolchain import ensure_go
from iecpod.images.image_archives import check_image_archives, take_in_all
from iecpod.images.release_images import ReleaseImages
from iecpod.layout import Layout
from iecpod.model import Arch, PodRef
from iecpod.pod_adapters import PodAdapters, new_run_id
from iecpod.ports import Reporter
from iecpod.provider import Removed
from iecpod.render.exports import EXPORTS, ExportedPod
from iecpod.results import FAILED

BuildCommand = Callable[[PodInputs, PodTools, Callable[[Report], None]], Report]


class Composition:
    """Runs commands with everything they need, for the command line."""

    def __init__(self, layout: Layout, *, environ: Mapping[str, str], is_terminal: bool) -> None:
        self.layout = layout
        self._environ = environ
        self._is_terminal = is_terminal

    def deploy(self, request: PodRequest, outputs: RunOutputs) -> Report:
        return self._build(deploy.deploy, "deploy", request, outputs)

    def redeploy(self, request: PodRequest, outputs: RunOutputs) -> Report:
        return self._build(redeploy.redeploy, "redeploy", request, outputs)

    def redeploy_changed(self, request: PodRequest, outputs: RunOutputs) -> Report:
        return self._build(redeploy.redeploy_changed, "redeploy", request, outputs)

    def bootstrap(self, request: PodRequest, addresses: Sequence[IPv4Address], outputs: RunOutputs) -> Report:
        """Describes machines as a POD, unless it is there, and deploys that. One that is refused leaves no trace."""
        with self._reporter() as reporter:
            tools = PodAdapters(self.layout, request.ref, reporter, "", lock_seconds=request.lock_seconds)
            is_new = not tools.pod_dir.exists()
            try:
                with tools.lock():
                    base = bootstrap.ensure_described(tools, self.layout, request, addresses)
                return self.deploy(replace(request, base_uri=str(base)), outputs)
            except IecpodError:
                if is_new and not tools.recall().is_noted:
                    tools.remove_pod_dir()
                    bootstrap.remove_described(self.layout, request.ref)
                raise

    def _build(self, build: BuildCommand, verb: str, request: PodRequest, outputs: RunOutputs) -> Report:
        run = Run(new_run_id(), verb, request.ref)
        with (
            saved_reports(outputs, run.ref, run.run_id) as save,
            self._pod(request, run, outputs.events, tell_warnings=True) as (inputs, tools),
        ):

            def save_report(report: Report) -> None:
                told = report.rewritten(inputs.loaded.secrets.hide)
                replace_file(tools.pod_dir / "report.json", told.to_json(), READABLE)
                save(told)
                if report.outcome != FAILED:
                    write_exports(self._exported(inputs, tools))

            return build(inputs, tools, save_report)

    def plan(self, request: PodRequest, show: Callable[[str], None]) -> bool:
        """Whether there is anything to change. Raises `PreflightError` as a deploy would, once the plan is shown."""
        with self._pod(request, tell_warnings=True) as (inputs, tools):
            result = plan.make_pod_plan(inputs, tools)
            show(plan.plan_text(inputs, result))
            if result.problems:
                raise PreflightError(result.problems, f"POD {request.ref} cannot be deployed here")
            return bool(result.planned.plan.pending)

    def status(self, request: PodRequest) -> status.PodStatus:
        with self._pod(request) as (inputs, tools):
            return status.observe_status(inputs, tools)

    def teardown(self, request: PodRequest, events: Path | None) -> Removed:
        """Works by the POD's name alone where it was deployed from here, whatever became of its descriptors."""
        with self._reporter(Run(new_run_id(), "teardown", request.ref), events) as reporter:
            tools = PodAdapters(
                self.layout, request.ref, reporter, "", lock_seconds=request.lock_seconds, login=request.login
            )
            with tools.lock():  # what is recalled is what the run that held it has left
                removed = teardown.teardown(tools, self._teardown_site(request, tools))
                if not tools.pod_dir.exists():
                    bootstrap.remove_described(self.layout, request.ref)
                return removed

    def conformance(self, request: PodRequest, order: ConformanceOrder, events: Path | None) -> ConformanceReport:
        run = Run(new_run_id(), "conformance", request.ref)
        with self._pod(request, run, events) as (inputs, tools):
            return run_conformance(inputs, tools, ConformanceBench(self.layout, tools.reporter), order)

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
            self._access(inputs, tools)
            return guest_access.console_argv(tools.provider(inputs.site), inputs, hostname)

    def export(self, request: PodRequest, name: str) -> str:
        """`name` is one of `EXPORTS`."""
        with self._pod(request) as (inputs, tools):
            return EXPORTS[name](self._exported(inputs, tools))

    def kubeconfig(self, request: PodRequest) -> str:
        text = read_kubeconfig(self.layout, request.ref)
        if text is None:
            raise _not_deployed(request.ref)
        return text

    def build_bundle(self, order: BundleOrder) -> Path:
        """Where the bundle is: in the cache, or where a copy was asked for."""
        if order.output is not None:
            check_copy(order.output)
        data = read_release(order.release, self.layout.releases_dir, self.layout.schemas_dir)
        data = select_variant(data, order.base_os)
        release = apply_supply(parse_release(data), order.supply)
        with self._reporter() as reporter:
            archives = take_in_all(Cache(self.layout.cache_dir, reporter), order.image_archives)
            release = replace(release, image_archives=archives)
            problems = list(check_archives(archives, [order.arch]))
            if problems:
                raise PreflightError(problems, "no bundle can be built with these archives of images")
            for problem in check_trust(release, order.arch, order.supply):
                reporter.warn(str(problem))
            build = BundleBuild(
                cache=Cache(self.layout.cache_dir, reporter),
                release=release,
                data=data,
                arch=order.arch,
                apt_mirror=order.supply.apt_mirror,
                registry_mirrors=order.supply.registry_mirrors,
            )
            path = build.ensure().path
            if order.output is not None:
                write_copy(path, order.output)
            return order.output or path

    def bake_image(self, release: str, arch: Arch | None, base_os: str | None, apt_mirror: str) -> Path:
        """The image that a deploy of the release would rest on."""
        with self._reporter() as reporter:
            loaded = load_release(release, self.layout.releases_dir, self.layout.schemas_dir, base_os)
            images = ReleaseImages(loaded, self.layout.cache_dir, apt_mirror, reporter)
            return images.ensure(arch or Arch.of_this_machine()).path

    def compile_tests(self, release: str) -> None:
        """The programs that `conformance` runs on this host. Raises `ImageError`, also for a release without any."""
        with self._reporter() as reporter:
            loaded = load_release(release, self.layout.releases_dir, self.layout.schemas_dir)
            ConformanceBench(self.layout, reporter).programs(loaded)

    def bump_release(self, release: str, module: str | None, version: str | None) -> tuple[Bump, ...]:
        """Modules that are of newer versions now. Raises `UsageError`, `ImageError`."""
        with self._reporter() as reporter:
            loaded = load_release(release, self.layout.releases_dir, self.layout.schemas_dir)
            source = loaded.go
            if source is None or release not in known_releases(self.layout.releases_dir):
                raise UsageError(
                    f"{release} is no release of Go modules that iecpod brings",
                    f"move versions in a copy: `iecpod releases show {release} > mine.yaml` (README: Newer versions)",
                )
            go = ensure_go(Cache(self.layout.cache_dir, reporter), source.toolchain) / "bin/go"
            return GoBump(go, source, self.layout.releases_dir / f"{release}.yaml", reporter).run(module, version)

    @contextmanager
    def _reporter(self, run: Run | None = None, events: Path | None = None) -> Iterator[Reporter]:
        told = (events, run) if events and run else None
        with make_reporter(self._environ, is_terminal=self._is_terminal, events=told) as reporter:
            yield reporter

    @contextmanager
    def _pod(
        self,
        request: PodRequest,
        run: Run | None = None,
        events: Path | None = None,
        *,
        tell_warnings: bool = False,
    ) -> Iterator[tuple[PodInputs, PodAdapters]]:
        """`tell_warnings` is for verbs that judge descriptors; those of a POD that lives would tell them every time."""
        with self._reporter(run, events) as reporter:
            run_id = run.run_id if run else ""
            apt_mirror = request.supply.apt_mirror if request.supply else ""
            tools = PodAdapters(
                self.layout, request.ref, reporter, apt_mirror, run_id, request.lock_seconds, login=request.login
            )
            recalled = tools.recall()
            request = self._with_image_archives(self._with_bundle(request, recalled, reporter), reporter)
            if tell_warnings:
                request = self._with_default_software(request, recalled, reporter)
            inputs = resolve_request(request, self.layout, recalled)
            with tools.lock() if run else nullcontext():
                if tools.recall() != recalled:  # by a run that was waited for
                    inputs = resolve_request(request, self.layout, tools.recall())
                if tell_warnings:
                    self._check_bundle(inputs, reporter)
                for warning in inputs.loaded.warnings if tell_warnings else ():
                    reporter.warn(str(warning))
                with inputs.loaded.explained_errors():
                    yield inputs, tools

    def _with_bundle(self, request: PodRequest, recalled: Recalled, reporter: Reporter) -> PodRequest:
        """A bundle that was given is verified and taken into the cache before anything looks at it."""
        if request.bundle_file is None:
            return request
        trust = _trust(demanded_digest(request, recalled), request.bundle_signers or recalled.bundle_signers)
        digest = StoredBundle(request.bundle_file, trust).take_in(Cache(self.layout.cache_dir, reporter))
        return replace(request, bundle=digest)

    def _with_image_archives(self, request: PodRequest, reporter: Reporter) -> PodRequest:
        """As a bundle that was given."""
        if not request.image_archive_files:
            return request
        archives = take_in_all(Cache(self.layout.cache_dir, reporter), request.image_archive_files)
        return replace(request, image_archives=tuple(archive.digest for archive in archives))

    def _with_default_software(self, request: PodRequest, recalled: Recalled, reporter: Reporter) -> PodRequest:
        """The first of the lab's releases whose sources answer, for a POD that is not there and names none."""
        defaults = lab_defaults(request.ref.lab)
        if request.release or recalled.release or request.bundle or len(defaults.software) == 1:
            return request
        *preferred, last = defaults.software
        for software in preferred:
            release = load_release(software.release, self.layout.releases_dir, self.layout.schemas_dir)
            try:
                check_go_sources(Cache(self.layout.cache_dir, reporter), release, Arch.of_this_machine())
            except ImageError as error:
                reporter.warn(
                    f"release {software.release} cannot be made here: {error.cause}; {error.remedy}. "
                    f"Falling back to release {last.release}, which upstream no longer supports"
                )
                continue
            reporter.progress(f"release {software.release}: its sources answer (the default of lab {request.ref.lab})")
            return _with_software(request, software)
        return _with_software(request, last)

    def _check_bundle(self, inputs: PodInputs, reporter: Reporter) -> None:
        """Whether what was taken in before is still whole, and what is demanded now."""
        provided, chosen = inputs.release.provided, inputs.chosen
        check_image_archives(Cache(self.layout.cache_dir, reporter), inputs.release.image_archives)
        if provided is not None:
            trust = _trust(chosen.bundle_digest, chosen.bundle_signers)
            problems = check_taken_in(Cache(self.layout.cache_dir, reporter), provided, trust)
            if problems:
                raise not_whole(problems)

    def _access(self, inputs: PodInputs, tools: PodAdapters) -> GuestAccess:
        keys = find_pod_keys(tools.pod_dir / "keys")
        if keys is None:
            raise _not_deployed(tools.ref)
        way = tools.provider(inputs.site).way
        kubectl = tools.host_kubectl(way, inputs.release)
        return GuestAccess(
            command_prefix=way.command_prefix,
            private_key=keys.private_key_file,
            known_hosts=keys.known_hosts_file,
            kubectl_argv=kubectl.argv if kubectl is not None and kubectl.is_ready() else (),
        )

    def _exported(self, inputs: PodInputs, tools: PodAdapters) -> ExportedPod:
        return exported_pod(inputs, self._access(inputs, tools), tools.pod_dir)

    def _teardown_site(self, request: PodRequest, tools: PodAdapters) -> Site:
        if request.provider is ProviderName.EXISTING:
            return Site(request.provider)
        recalled = tools.recall()
        if recalled.site is not None and (request.connect is None or recalled.site.uri is None):
            return recalled.site
        known = request.connect or lab_defaults(request.ref.lab).connect
        if known is not None:
            return Site(ProviderName.LIBVIRT, known)
        return resolve_request(request, self.layout, Recalled()).site


def _trust(digest: str | None, signers: str | None) -> BundleTrust:
    return BundleTrust(digest=digest, signers=Path(signers) if signers else None)


def _with_software(request: PodRequest, software: DefaultSoftware) -> PodRequest:
    return replace(request, release=software.release, scenario=request.scenario or software.scenario)


def _not_deployed(ref: PodRef) -> IecpodError:
    return UsageError(
        f"POD {ref} is not deployed from here", f"deploy it with `iecpod deploy -l {ref.lab} -p {ref.pod}`"
    )
