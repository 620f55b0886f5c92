"""Fuel's options: how they are read, what they mean, and what a deploy makes of it."""

from __future__ import annotations

import dataclasses
import io
import logging
import re
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from iecpod.adapters.command_trace import trace_command
from iecpod.cli.main import cli
from iecpod.cli.options.fuel import FuelMeaning, FuelVerb, fuel_meaning
from iecpod.cli.tracing import tracing_commands
from iecpod.commands.deploy import deploy
from iecpod.errors import PreflightError, UsageError
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.options.choices import ProviderName
from iecpod.pods.request import CLUSTER_PHASES
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.xml import resource_of
from iecpod.providers.phase_names import PHASE_NAMES
from iecpod.release.file import known_releases, load_release
from tests import pods
from tests.fakes.pod_tools import NODES, FakeTools
from tests.unit.command_line import install, layout_below, run
from tests.unit.commands.test_commands import layout, resolve, run_deploy, tools  # noqa: F401
from tests.unit.descriptors.broken_pod import ROOT
from tests.unit.providers.libvirt.libvirt_of_tests import TEST_URI, put_in_place

#: As IEC's jobs wrote it, but for the name of the command and -L, which is about logs.
FUELS_LINE = "-l arm -p virtual2 -s k8-calico-iec-noha -S {dir} -D -o ubuntu1804 -b file://{dir}/ci -L {dir}/x.tar.gz"
POD = ("-l", "local", "-p", "virtual1")
PHASES = (*PHASE_NAMES[ProviderName.LIBVIRT], *CLUSTER_PHASES)
#: Without it, the lab's default would ask the network which of its releases can be made.
_RELEASE = ("--release", "k8s-1.37-go")


def parse(*arguments: str) -> Mapping[str, Any]:
    """The options of `deploy` as click reads them; nothing runs."""
    command = cli.commands["deploy"]
    return command.make_context("deploy", [*POD, *arguments], help_option_names=["-h", "--help"]).params


@pytest.mark.parametrize(
    ("arguments", "meaning"),
    [
        ("", FuelMeaning()),
        ("-d", FuelMeaning(verb=FuelVerb.PLAN)),
        ("-dD", FuelMeaning(verb=FuelVerb.PLAN)),
        ("-e", FuelMeaning(until="domains")),
        ("-F", FuelMeaning(until="domains")),
        ("-ee", FuelMeaning(until="reachable")),
        ("-e -F", FuelMeaning(until="reachable")),
        ("-eeee", FuelMeaning(until="reachable")),
        ("--until cni", FuelMeaning(until="cni")),
        ("-f", FuelMeaning(may_create=False)),
        ("-EEE", FuelMeaning(verb=FuelVerb.TEARDOWN)),
        ("-E -E -E -E", FuelMeaning(verb=FuelVerb.TEARDOWN)),
        ("-EEE -eePmN -f -o centos7", FuelMeaning(verb=FuelVerb.TEARDOWN)),
    ],
)
def test_meaning(arguments: str, meaning: FuelMeaning) -> None:
    assert fuel_meaning(parse(*arguments.split())) == meaning


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        ("-m", "-m has no effect: machines are as large as the PDF says"),
        ("-N", "-N has no effect: no part of the control plane is virtualised a second time"),
        ("-P", "-P has no effect: deploy installs no packages on this host; bootstrap.sh does"),
        ("-E", "-E once or twice has no effect on virtual PODs; -EEE tears the POD down"),
        ("-EE", "-E once or twice has no effect on virtual PODs; -EEE tears the POD down"),
        ("-ff", "-f counts once: phases that are in place are passed over anyway"),
    ],
)
def test_what_has_no_effect_is_reported(arguments: str, warning: str) -> None:
    meaning = fuel_meaning(parse(*arguments.split()))
    assert meaning.warnings == (warning,)
    assert meaning.verb is FuelVerb.DEPLOY


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ("-EEE -d", "-d shows what a deploy would do, and -EEE tears down"),
        ("-e --until cni", "-e and --until both say where to stop"),
    ],
)
def test_contradictions_are_refused(arguments: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        fuel_meaning(parse(*arguments.split()))
    assert caught.value.cause == cause


def test_the_line_of_fuels_jobs_is_understood(tmp_path: Path) -> None:
    params = parse(*FUELS_LINE.format(dir=tmp_path).split()[4:])
    assert (params["storage_dir"], params["debug"], params["base_os"]) == (tmp_path, True, "ubuntu1804")
    assert (params["base_uri"], params["scenario"]) == (f"file://{tmp_path}/ci", "k8-calico-iec-noha")


def test_every_letter_of_fuel_is_an_option_of_deploy() -> None:
    known = {name for option in cli.commands["deploy"].params for name in option.opts}
    assert {f"-{letter}" for letter in "bdDeEfFlLmNopPsS"} - known == set()
    assert run(Path.cwd(), "deploy", "-h").exit_code == 0


def test_the_docs_explain_every_letter() -> None:
    text = (ROOT / "docs/fuel.md").read_text()
    rows = re.findall(r"^\| `-(\w)[^|]*\| (?:kept|improved|pointless)", text, re.MULTILINE)
    assert sorted(rows) == sorted("bdDeEfFhlLmNopPsS")


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_debug_may_come_from_the_environment(value: str, expected: bool) -> None:
    seen = []
    deploy_options = [option for option in cli.commands["deploy"].params if option.name == "debug"]
    command = click.Command("probe", params=deploy_options, callback=lambda debug: seen.append(debug))
    assert CliRunner().invoke(command, env={"CI_DEBUG": value}).exit_code == 0
    assert seen == [expected]


def test_erasing_what_is_not_there_is_no_error_and_asks_no_hypervisor(tmp_path: Path) -> None:
    result = run(tmp_path, "deploy", *POD, "-EEE", "-S", str(tmp_path / "storage"), "-o", "centos7")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "nothing to remove\n", "")


def test_another_base_image_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run_raising(
            tmp_path, "deploy", *POD, "--release", "debian12", "-o", "ubuntu1804", "-N", "-S", str(tmp_path / "storage")
        )
    assert caught.value.cause == "release debian12 has no base image 'ubuntu1804'"
    assert caught.value.remedy == "it has debian12: use another -o, leave it out, or choose another --release"
    assert not (tmp_path / "storage").exists()


def run_raising(tmp_path: Path, *arguments: str) -> None:
    result = run(tmp_path, *arguments)
    assert result.stderr == "iecpod: warning: " + "-N has no effect: no part of the control plane is virtualised" + (
        " a second time\n"
    )
    assert result.exception is not None
    raise result.exception


def test_the_base_image_of_the_release_is_taken(layout: Layout) -> None:  # noqa: F811
    assert resolve(layout, base_os="debian12").order.release.name == "debian12"
    for name in known_releases(layout.releases_dir):
        assert load_release(name, layout.releases_dir, layout.schemas_dir).base_os, f"{name} takes no -o"


def test_a_dry_run_refuses_what_a_deploy_would(tmp_path: Path) -> None:
    """libvirt's test driver has no emulators."""
    result = run(tmp_path, "deploy", *POD, *_RELEASE, "-d", "-c", "test:///default")
    assert isinstance(result.exception, PreflightError)
    assert result.exception.cause == "POD local/virtual1 cannot be deployed here"
    assert result.exception.exit_code == 4 and result.exception.problems
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("verb", [("plan",), ("redeploy", "-d"), ("deploy", "-d")])
def test_what_would_be_refused_is_shown_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    """A network of the POD is there already, and is not what it is to be."""
    ref = PodRef("local", "virtual1")
    other = dataclasses.replace(pods.admin_network(ref), mtu=9000)
    network = resource_of(other, dataclasses.replace(pods.STAMP, ref=ref))
    node = f"<node><cpu><cores>4</cores></cpu><memory>8000000</memory>{network.xml}</node>"
    put_in_place(monkeypatch, node, tmp_path)
    install(tmp_path)
    result = run(tmp_path, *verb, *POD, *_RELEASE, "-c", TEST_URI)
    assert isinstance(result.exception, PreflightError) and result.exception.exit_code == 4
    assert "changed-in-place" in {problem.rule for problem in result.exception.problems}
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["-/+", "network", "local-virtual1-admin"] in [line[:3] for line in lines]
    assert ["Interfaces"] in lines and ["Cluster"] in lines


def test_phases_are_those_of_a_deploy(layout: Layout, tools: FakeTools) -> None:  # noqa: F811
    assert tuple(phase.name for phase in run_deploy(layout, tools).phases) == PHASES


@pytest.mark.parametrize("until", PHASES)
def test_a_deploy_stops_where_it_is_asked_to(layout: Layout, tools: FakeTools, until: str) -> None:  # noqa: F811
    report = deploy(resolve(layout, until=until), tools, lambda _report: None)
    assert tuple(phase.name for phase in report.phases) == PHASES[: PHASES.index(until) + 1]
    last_line = report.to_text().splitlines()[-1]
    assert last_line == f"stopped after {until}, as asked; run the same command without -e and --until to continue"
    domains = [seen for seen in tools.hypervisor.observe() if seen.kind is Kind.DOMAIN and seen.active]
    assert len(domains) == (len(NODES) if PHASES.index(until) >= PHASES.index("domains") else 0)
    assert run_deploy(layout, tools).phases[-1].name == PHASES[-1]


def test_nothing_is_created_where_machines_must_be_there(layout: Layout, tools: FakeTools) -> None:  # noqa: F811
    inputs = resolve(layout, may_create=False)
    with pytest.raises(PreflightError) as caught:
        deploy(inputs, tools, lambda _report: None)
    assert {problem.rule for problem in caught.value.problems} == {"nothing-to-reuse"}
    assert {"domain local-virtual1-iec01", "pool iecpod-local-virtual1"} <= {p.path for p in caught.value.problems}
    assert tools.hypervisor.observe() == () and not tools.pod_dir.exists()
    run_deploy(layout, tools)
    tools.hypervisor.stop_outside(Kind.DOMAIN, "local-virtual1-iec02")
    outcomes = {phase.name: phase.outcome for phase in deploy(inputs, tools, lambda _report: None).phases}
    assert outcomes["domains"] == "done", "a machine that is off is started, not created"


def test_storage_holds_state_and_caches(tmp_path: Path) -> None:
    before = layout_below(tmp_path)
    after = before.stored_in(tmp_path / "storage")
    assert (after.state_dir, after.cache_dir) == (tmp_path / "storage/state", tmp_path / "storage/cache")
    assert after.runtime_dir == before.runtime_dir, "a POD has one lock, wherever it is kept"


def test_storage_is_an_option_of_every_verb_of_a_pod() -> None:
    takers = {
        name
        for name, command in cli.commands.items()
        if any("--storage-dir" in option.opts for option in command.params)
    }
    assert takers == {name for name, command in cli.commands.items() if _needs_pod(command)} | {"bootstrap"}
    assert {"deploy", "plan", "status", "teardown", "ssh", "kubectl", "kubeconfig", "export", "console"} <= takers


def _needs_pod(command: click.Command) -> bool:
    return any(option.name == "pod" and option.required for option in command.params)


def test_a_local_base_is_a_file_uri_too(layout: Layout, tmp_path: Path) -> None:  # noqa: F811
    """As the jobs give it: the checkout's directory that holds labs/."""
    base = tmp_path / "work space" / "ci"
    base.mkdir(parents=True)
    (base / "labs").symlink_to(layout.pdf_dir / "labs")
    inputs = resolve(layout, base_uri=f"file://{base}".replace(" ", "%20"))
    assert inputs.order.spec.pdf_file == str(base / "labs/local/virtual1.yaml")


def test_commands_are_traced_when_asked_for_only() -> None:
    argv = ["sh", "-c", "for x in 1 2\ndo echo $x\ndone", "http://me:secret@mirror/debian"]
    errors = io.StringIO()
    with redirect_stderr(errors), tracing_commands(False):
        trace_command("iec01", argv)
    assert errors.getvalue() == ""
    with redirect_stderr(errors), tracing_commands(True):
        trace_command("iec01", argv)
        trace_command("host", ["echo", "x" * 1000])
    lines = errors.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d \+ iec01: .*", lines[0])
    assert lines[0].endswith("iec01: sh -c 'for x in 1 2 do echo $x done' http://***@mirror/debian")
    assert len(lines[1]) < 450 and lines[1].endswith("…")
    assert not logging.getLogger("iecpod.command").handlers


def test_what_was_bootstrapped_and_torn_down_can_be_torn_down_again(tmp_path: Path) -> None:
    result = run(tmp_path, "teardown", "-l", "nodes", "-p", "edge")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "nothing to remove\n", "")
