"""The command line itself: what it loads, what it prints, what a shell proposes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from jsonschema import Draft202012Validator

from iecpod.cli.main import cli
from iecpod.cli.options.pod_request import make_request
from iecpod.cli.options.shared import Invocation
from iecpod.design.deadline_factor import PHASES_THAT_WAIT
from iecpod.errors import DescriptorError
from iecpod.pods.request import lab_defaults
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.ssh.keys import ensure_pod_keys
from tests.unit.command_line import layout_below, run, write_pod
from tests.unit.descriptors.broken_pod import ROOT, SCHEMAS_DIR

#: Libraries that only verbs of a POD that lives need.
OF_DEPLOY = {"libvirt", "paramiko", "rich", "netaddr", "jinja2", "cryptography", "pycdlib"}
OF_DESCRIPTORS = {"yaml", "jsonschema"}
#: Those that a question must not wait for: they make machines, log in to them, fetch, or draw.
OF_WORK = {"rich", "jinja2", "pycdlib", "paramiko", "urllib3"}
_LOADED = """
import sys
from iecpod.cli.main import main
code = main(sys.argv[1:])
print("\\n".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
sys.exit(code)
"""


def libraries_of(tmp_path: Path, *arguments: str) -> set[str]:
    """What a process has loaded when the command is done."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *arguments],
        cwd=ROOT,
        env={**os.environ, "IECPOD_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split()) & (OF_DEPLOY | OF_DESCRIPTORS | OF_WORK)


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("validate", "--help"), ("deploy", "--help"), ("schema", "pdf"), ("releases", "--help")],
)
def test_help_loads_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert libraries_of(tmp_path, *arguments) == set()


@pytest.mark.parametrize(
    "arguments",
    [("validate", "--all"), ("rules",), ("validate", "--all", "--format", "junit"), ("releases", "list")],
)
def test_validate_loads_what_descriptors_need(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert libraries_of(tmp_path, *arguments) == OF_DESCRIPTORS


def test_access_to_a_cluster_loads_nothing_that_works_on_machines(tmp_path: Path) -> None:
    ensure_pod_keys(tmp_path / "pods" / "local" / "virtual1" / "keys", "test")
    loaded = libraries_of(tmp_path, "export", "-l", "local", "-p", "virtual1", "env")
    assert "libvirt" in loaded and not loaded & OF_WORK


def test_help_names_the_default_software_of_lab_local(tmp_path: Path) -> None:
    text = " ".join(run(tmp_path, "deploy", "--help").stdout.replace("-\n", "-").split()).replace("- ", "-")
    first, last = lab_defaults("local").software
    assert f"lab local: {first.scenario}, or {last.scenario}." in text
    assert f"lab local: {first.release}, or {last.release} as a fallback." in text


@pytest.mark.parametrize("kind", ["pdf", "idf", "release", "scenario"])
def test_schema(tmp_path: Path, kind: str) -> None:
    result = run(tmp_path, "schema", kind)
    assert result.exit_code == 0 and result.stdout == (SCHEMAS_DIR / f"{kind}.json").read_text()
    Draft202012Validator.check_schema(json.loads(result.stdout))


def test_unknown_schema(tmp_path: Path) -> None:
    result = run(tmp_path, "schema", "pod")
    assert result.exit_code == 2 and "'pdf', 'idf', 'release', 'scenario'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "incomplete", "expected"),
    [
        (["validate", "-l"], "", ["arm", "local"]),
        (["deploy", "-l"], "a", ["arm"]),
        (["deploy", "-l", "arm", "-p"], "", ["virtual1", "virtual2"]),
        (["deploy", "-l", "local", "-p"], "", ["virtual1"]),
        (["deploy", "-p"], "virtual", ["virtual1", "virtual2"]),
        (["deploy", "-b", "https://example.org", "-l"], "", []),
        (["deploy", "-b", "ftp://example.org", "-p"], "", []),
        (["plan", "--release"], "", ["debian12", "iec-r1", "k8s-1.37", "k8s-1.37-go"]),
        (["releases", "diff", "debian12"], "iec", ["iec-r1"]),
        (["bundle", "build", "--release"], "d", ["debian12"]),
        (
            ["plan", "-s"],
            "k8-",
            [
                f"k8-{name}-iec-noha"
                for name in ("bridge", "calico", "calico-operator", "flannel", "kube-router", "nosdn")
            ],
        ),
        (["validate", "--demote"], "duplicate-m", ["duplicate-mac", "duplicate-mac-in-node"]),
        (["plan", "--demote"], "schema-m", []),
        (["schema"], "", ["pdf", "idf", "release", "scenario"]),
    ],
)
def test_completion(tmp_path: Path, arguments: list[str], incomplete: str, expected: list[str]) -> None:
    assert proposals(tmp_path, arguments, incomplete) == expected


def test_completion_from_a_base(tmp_path: Path) -> None:
    write_pod(tmp_path, "mine", "one")
    write_pod(tmp_path, "mine", "half")
    (tmp_path / "labs/mine/idf-half.yaml").unlink()
    assert proposals(tmp_path, ["validate", "-b", str(tmp_path), "-l"], "") == ["mine"]
    assert proposals(tmp_path, ["validate", "-b", f"file://{tmp_path}", "-l", "mine", "-p"], "") == ["one"]


def proposals(tmp_path: Path, arguments: list[str], incomplete: str) -> list[str]:
    invocation = Invocation(layout_below(tmp_path), environ={}, is_terminal=False)
    shell = ShellComplete(cli, {"obj": invocation}, "iecpod", "_IECPOD_COMPLETE")
    return [item.value for item in shell.get_completions(arguments, incomplete)]


@pytest.mark.parametrize("arguments", [["deploy", "--release"], ["releases", "show"], ["bundle", "build", "--release"]])
def test_a_release_may_be_a_file_for_the_shell_to_find(tmp_path: Path, arguments: list[str]) -> None:
    invocation = Invocation(layout_below(tmp_path), environ={}, is_terminal=False)
    shell = ShellComplete(cli, {"obj": invocation}, "iecpod", "_IECPOD_COMPLETE")
    found = {text: shell.get_completions(arguments, text) for text in ("./my", "my", "deb")}
    assert {text: [(item.value, item.type) for item in items] for text, items in found.items()} == {
        "./my": [("./my", "file")],
        "my": [("my", "file")],
        "deb": [("debian12", "plain")],
    }


def test_demotion_is_an_option_of_whatever_judges_descriptors() -> None:
    takers = {
        name
        for name, command in cli.commands.items()
        if any("--demote" in parameter.opts for parameter in command.params)
    }
    assert takers == {"validate", "plan", "deploy", "redeploy", "bootstrap"}


def test_keys_and_addressing_reach_the_request(tmp_path: Path) -> None:
    options = {"lab": "lab", "pod": "pod", "base_uri": None, "scenario": None, "release": None, "connect": None}
    given = {**options, "addressing": "compact", "eyaml_private_key": "private.pem", "eyaml_public_key": "public.pem"}
    request = make_request(layout_below(tmp_path), given)
    assert (request.options.addressing, request.eyaml_keys) == ("compact", ("private.pem", "public.pem"))
    takers = {
        option: {name for name, command in cli.commands.items() if any(option in item.opts for item in command.params)}
        for option in ("--addressing", "--eyaml-private-key", "--eyaml-public-key", "--lab")
    }
    assert takers["--addressing"] == {"validate", "plan", "deploy", "redeploy", "bootstrap"}
    assert takers["--eyaml-private-key"] == takers["--eyaml-public-key"] == takers["--lab"]


def test_verbs_of_a_pod_that_lives_do_not_refuse_what_deploy_was_let_through(tmp_path: Path) -> None:
    write_pod(tmp_path, "lab", "pod", pdf={"nodes[1].name": "node-1", "details.link": "somewhere"})
    layout = layout_below(tmp_path)
    options = {"lab": "lab", "pod": "pod", "base_uri": str(tmp_path), "scenario": None, "release": None, "connect": "x"}
    inputs = resolve_request(make_request(layout, options), layout, SavedPod())
    assert {"duplicate-node-name", "schema-uri"} <= {warning.rule for warning in inputs.loaded.warnings}
    with pytest.raises(DescriptorError):
        resolve_request(make_request(layout, {**options, "demote": ()}), layout, SavedPod())
    assert make_request(layout, {**options, "demote": ("schema-uri",)}).demoted == {"schema-uri"}


def test_a_shell_is_answered(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(sys.executable).with_name("iecpod"))],
        env={
            **os.environ,
            "IECPOD_STATE_DIR": str(tmp_path),
            "_IECPOD_COMPLETE": "bash_complete",
            "COMP_WORDS": "iecpod plan -l arm -p ",
            "COMP_CWORD": "5",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "plain,virtual1\nplain,virtual2\n")


@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        ("2560", "Invalid value for '--memory': '2560' is not a size"),
        ("64M", "Invalid value for '--memory': 64M is too little for a node; the least is 512M"),
    ],
)
def test_memory_that_no_node_can_have_is_wrong_usage(tmp_path: Path, size: str, complaint: str) -> None:
    result = run(tmp_path, "plan", "-l", "local", "-p", "virtual1", "--memory", size)
    assert result.exit_code == 2 and complaint in result.stderr


def test_memory_is_read_as_the_pdf_is(tmp_path: Path) -> None:
    given = ["-l", "lab", "-p", "pod", "--memory", "1.5G"]
    context = cli.commands["plan"].make_context("plan", given)
    assert make_request(layout_below(tmp_path), context.params).options.memory_mib == 1536


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ((), {}),
        (("verify=600",), {"verify": 600}),
        (("900",), dict.fromkeys(PHASES_THAT_WAIT, 900)),
        (("verify=600", "900"), {**dict.fromkeys(PHASES_THAT_WAIT, 900), "verify": 600}),
    ],
)
def test_time_for_phases_reaches_the_request(tmp_path: Path, given: tuple[str, ...], limits: dict[str, float]) -> None:
    options = [argument for text in given for argument in ("--timeout", text)]
    context = cli.commands["deploy"].make_context("deploy", ["-l", "local", "-p", "virtual1", *options])
    assert dict(make_request(layout_below(tmp_path), context.params).limits) == limits


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("image=5", "phase 'image' has no deadline; these have: reachable, runtime, control-plane"),
        ("=5", "phase '' has no deadline"),
        ("verify=0", "SECONDS is a whole number from 1 on"),
        ("verify", "SECONDS is a whole number from 1 on"),
        ("-5", "SECONDS is a whole number from 1 on"),
        ("1e9", "SECONDS is a whole number from 1 on"),
    ],
)
def test_time_for_phases_that_cannot_be_meant(tmp_path: Path, given: str, message: str) -> None:
    result = run(tmp_path, "deploy", "-l", "lab", "-p", "missing", f"--timeout={given}")
    assert result.exit_code == 2 and message in result.stderr


def test_remedies_name_the_pod_with_the_options_that_were_given(tmp_path: Path) -> None:
    given = ["-l", "arm", "-p", "virtual2", "-b", "my labs", "-c", "embedded", "--virt-type", "qemu"]
    context = cli.commands["deploy"].make_context("deploy", given)
    request = make_request(layout_below(tmp_path), context.params)
    assert request.command("console", "iec01") == "iecpod console -l arm -p virtual2 -b 'my labs' -c embedded iec01"
