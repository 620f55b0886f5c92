"""`iecpod validate`: PODs, files and whole bases, as text, JSON and JUnit's XML."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from iecpod.descriptors.crosscheck import RULES, check_pod
from iecpod.descriptors.pod_files import NOT_GIVEN, Descriptors
from tests.unit.command_line import run, write_pod
from tests.unit.descriptors.broken_pod import REMOVED, ROOT, break_pod
from tests.unit.descriptors.eyaml_pair import Pair
from tests.unit.descriptors.test_crosscheck import CASES, Case

#: One schema error whose text XML must escape, one rule broken, and two warnings.
PDF = {"details.contact": "<me & 'you'>", "nodes[1].name": "node-1"}
IDF = {"idf.net_config.mgmt.gateway": "10.0.20.1"}

TEXT = """\
labs/lab/bad.yaml:4:12: details.contact: error: '<me' is not a mail address [schema-emails]
    -> One or more mail addresses, separated by comma, semicolon or space.
labs/lab/bad.yaml:87:9: nodes[1].name: error: node 2 has the name 'node-1' of node 1 (line 42) [duplicate-node-name]
    -> give every node a name of its own
labs/lab/idf-bad.yaml:22:16: idf.net_config.mgmt.gateway: warning: the gateway 10.0.20.1 is outside the network \
172.16.10.0/24 [gateway-outside]
    -> correct gateway, network or mask
labs/lab/idf-bad.yaml:121:7: idf.kubespray.nodes_roles.node-2: warning: the PDF has no node 'node-2' \
[role-of-unknown-node]
    -> write the name that the node has in the PDF
1 POD, 2 errors, 2 warnings
"""

JSON = {
    "pods": [
        {
            "name": "lab/bad",
            "files": ["labs/lab/bad.yaml", "labs/lab/idf-bad.yaml"],
            "problems": [
                {
                    "severity": "error",
                    "rule": "schema-emails",
                    "file": "labs/lab/bad.yaml",
                    "line": 4,
                    "column": 12,
                    "path": "details.contact",
                    "message": "'<me' is not a mail address",
                    "remedy": "One or more mail addresses, separated by comma, semicolon or space.",
                },
                {
                    "severity": "error",
                    "rule": "duplicate-node-name",
                    "file": "labs/lab/bad.yaml",
                    "line": 87,
                    "column": 9,
                    "path": "nodes[1].name",
                    "message": "node 2 has the name 'node-1' of node 1 (line 42)",
                    "remedy": "give every node a name of its own",
                },
                {
                    "severity": "warning",
                    "rule": "gateway-outside",
                    "file": "labs/lab/idf-bad.yaml",
                    "line": 22,
                    "column": 16,
                    "path": "idf.net_config.mgmt.gateway",
                    "message": "the gateway 10.0.20.1 is outside the network 172.16.10.0/24",
                    "remedy": "correct gateway, network or mask",
                },
                {
                    "severity": "warning",
                    "rule": "role-of-unknown-node",
                    "file": "labs/lab/idf-bad.yaml",
                    "line": 121,
                    "column": 7,
                    "path": "idf.kubespray.nodes_roles.node-2",
                    "message": "the PDF has no node 'node-2'",
                    "remedy": "write the name that the node has in the PDF",
                },
            ],
        }
    ],
    "errors": 2,
    "warnings": 2,
}

#: Without the cases of rules that nothing breaks.
JUNIT = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="iecpod validate" tests="60" failures="2" errors="0" skipped="0">
  <testsuite name="lab/bad" tests="60" failures="2" errors="0" skipped="0">
    <testcase classname="lab/bad" name="labs/lab/bad.yaml">
      <failure message="'&lt;me' is not a mail address" type="schema-emails">labs/lab/bad.yaml:4:12: details.contact: \
error: '&lt;me' is not a mail address [schema-emails]
    -&gt; One or more mail addresses, separated by comma, semicolon or space.</failure>
    </testcase>
    <testcase classname="lab/bad" name="labs/lab/idf-bad.yaml" />
    <testcase classname="lab/bad" name="duplicate-node-name">
      <failure message="node 2 has the name 'node-1' of node 1 (line 42)" type="duplicate-node-name">labs/lab/bad.yaml\
:87:9: nodes[1].name: error: node 2 has the name 'node-1' of node 1 (line 42) [duplicate-node-name]
    -&gt; give every node a name of its own</failure>
    </testcase>
    <testcase classname="lab/bad" name="gateway-outside">
      <system-out>labs/lab/idf-bad.yaml:22:16: idf.net_config.mgmt.gateway: warning: the gateway 10.0.20.1 is \
outside the network 172.16.10.0/24 [gateway-outside]
    -&gt; correct gateway, network or mask</system-out>
    </testcase>
    <testcase classname="lab/bad" name="role-of-unknown-node">
      <system-out>labs/lab/idf-bad.yaml:121:7: idf.kubespray.nodes_roles.node-2: warning: the PDF has no node 'node-2' \
[role-of-unknown-node]
    -&gt; write the name that the node has in the PDF</system-out>
    </testcase>
  </testsuite>
</testsuites>
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_pod(tmp_path, "lab", "bad", PDF, IDF)
    return tmp_path


def test_text(base: Path) -> None:
    result = run(base, "validate", "-b", ".", "-l", "lab", "-p", "bad")
    assert (result.exit_code, result.stdout, result.stderr) == (3, TEXT, "")


def test_json(base: Path) -> None:
    result = run(base, "validate", "-b", ".", "-l", "lab", "-p", "bad", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (3, JSON)


def test_junit(base: Path) -> None:
    result = run(base, "validate", "-b", ".", "-l", "lab", "-p", "bad", "--format", "junit")
    sound = {rule.name for rule in RULES} - {"duplicate-node-name", "gateway-outside", "role-of-unknown-node"}
    lines = "".join(f'    <testcase classname="lab/bad" name="{name}" />\n' for name in sound)
    assert result.exit_code == 3
    assert len(sound) == len(RULES) - 3 and all(line in result.stdout for line in lines.splitlines())
    without = "".join(line for line in result.stdout.splitlines(keepends=True) if line not in lines)
    assert without == JUNIT.replace('tests="60"', f'tests="{len(RULES) + 2}"')


def test_junit_holds_what_xml_cannot(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "a\x01\udcff.yaml").write_text("a: 1\n")
    result = run(tmp_path, "validate", "alone/a\x01\udcff.yaml", "--format", "junit")
    suite = ElementTree.fromstring(result.stdout).find("testsuite")
    assert suite is not None and suite.attrib["name"] == "alone/a\\x01\\udcff.yaml"
    assert [case.attrib["name"] for case in suite] == ["alone/a\\x01\\udcff.yaml"]


def test_a_sound_pod(tmp_path: Path) -> None:
    write_pod(tmp_path, "lab", "good")
    result = run(tmp_path, "validate", "-b", ".", "-l", "lab", "-p", "good", "--strict")
    assert (result.exit_code, result.stdout) == (0, "1 POD, 0 errors, 0 warnings\n")


def test_our_own_pods_are_the_default(tmp_path: Path) -> None:
    result = run(tmp_path, "validate", "--all")
    assert result.exit_code == 0 and result.stdout.endswith("\n3 PODs, 0 errors, 2 warnings\n")


def test_strict_and_demoted(base: Path) -> None:
    """A demoted rule warns even then, whether it was an error or a warning before."""
    chosen = ("--demote", "duplicate-node-name", "--demote", "gateway-outside")
    result = run(base, "validate", "-b", ".", "-l", "lab", "-p", "bad", "--strict", "--format", "json", *chosen)
    found = [(problem["severity"], problem["rule"]) for problem in json.loads(result.stdout)["pods"][0]["problems"]]
    assert found == [
        ("error", "schema-emails"),
        ("error", "role-of-unknown-node"),
        ("warning", "duplicate-node-name"),
        ("warning", "gateway-outside"),
    ]


def test_demoted_by_environment(base: Path) -> None:
    demoted = {"IECPOD_VALIDATE_DEMOTE": "schema-emails duplicate-node-name"}
    result = run(base, "validate", "-b", ".", "-l", "lab", "-p", "bad", env=demoted)
    assert result.exit_code == 0 and result.stdout.endswith("1 POD, 0 errors, 4 warnings\n")


def test_a_tree_with_every_kind_of_fault(base: Path) -> None:
    write_pod(base, "other", "good")
    write_pod(base, "other", "no-idf")
    write_pod(base, "other", "b d")
    (base / "labs/other/idf-no-idf.yaml").unlink()
    (base / "labs/other/tab.yaml").write_text("a:\n\tb: 1\n")
    (base / "labs/other/idf-tab.yaml").write_text("idf: {version: 0.1, net_config: {mgmt: {interface: -1}}}\n")
    (base / "labs/.hidden").mkdir()
    (base / "labs/README.yaml").touch()
    result = run(base, "validate", "--all", "-b", ".")
    assert re.findall(r"^(\S.*?): (?:\S+: )?error: .*\[(.*)\]$", result.stdout, re.MULTILINE) == [
        ("labs/lab/bad.yaml:4:12", "schema-emails"),
        ("labs/lab/bad.yaml:87:9", "duplicate-node-name"),
        ("labs/other/b d.yaml", "descriptor-name"),
        ("labs/other/idf-no-idf.yaml", "descriptor-missing"),
        ("labs/other/idf-tab.yaml:1:33", "network-needed"),
        ("labs/other/idf-tab.yaml:1:40", "schema-missing-key"),
        ("labs/other/idf-tab.yaml:1:40", "schema-missing-key"),
        ("labs/other/idf-tab.yaml:1:52", "schema-minimum"),
        ("labs/other/tab.yaml:2:1", "yaml-syntax"),
    ]
    assert "a POD needs a PDF and an IDF: write it beside no-idf.yaml" in result.stdout
    assert result.stdout.endswith("\n5 PODs, 9 errors, 5 warnings\n")


@pytest.mark.parametrize(
    "files",
    [
        ("labs/lab/bad.yaml",),
        ("labs/lab/idf-bad.yaml",),
        ("labs/lab/bad.yaml", "labs/lab/idf-bad.yaml"),
        ("labs/lab/idf-bad.yaml", "labs/lab/bad.yaml"),
    ],
)
def test_files_find_their_partners(base: Path, files: tuple[str, ...]) -> None:
    assert run(base, "validate", *files).stdout == TEXT


def test_several_files_and_one_that_is_not_there(base: Path) -> None:
    write_pod(base, "lab", "good")
    result = run(base, "validate", "labs/lab/good.yaml", "labs/lab/bda.yaml", "labs/lab/bad.yaml")
    first = "labs/lab/bda.yaml: error: no such file [descriptor-missing]\n    -> check the path\n"
    assert first in result.stdout and result.stdout.endswith("\n3 PODs, 3 errors, 2 warnings\n")


@pytest.mark.parametrize("name", ["idf-", "idf-.", "idf-..", "idf-.yaml", ".yaml", "-", "a"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    result = run(tmp_path, "validate", "--", name)
    assert result.exit_code == 3 and result.stdout.startswith(f"{name}: error: no such file [descriptor-missing]\n")


def test_a_name_in_another_encoding(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "iecpod", "validate", b"\xff.yaml"],
        cwd=ROOT,
        env={"IECPOD_STATE_DIR": str(tmp_path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout.endswith(
        b".yaml: error: no such file [descriptor-missing]\n    -> check the path\n1 POD, 1 error, 0 warnings\n"
    )


def test_an_idf_that_is_not_named_so_is_known_by_what_it_holds(base: Path) -> None:
    (base / "alone").mkdir()
    (base / "labs/lab/idf-bad.yaml").rename(base / "alone/network.yaml")
    result = run(base, "validate", "alone/network.yaml")
    assert re.findall(r"\[(.*)\]$", result.stdout, re.MULTILINE) == ["gateway-outside"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_file_alone_is_checked_as_far_as_that_goes(case: Case) -> None:
    """By the same rule with the same words, if the rule needs no more than the file; else the rule says nothing."""
    pair = break_pod(case.pdf, case.idf)
    halves = [Descriptors(pair.pdf, NOT_GIVEN), Descriptors(NOT_GIVEN, pair.idf)]
    found = [problem for half in halves for problem in check_pod(half) if problem.rule == case.rule]
    expected = [problem for problem in check_pod(pair) if problem.rule == case.rule]
    assert found == ([] if case.rule in RULES_OF_PAIRS else expected)


RULES_OF_PAIRS = {
    "device-count-differs",
    "device-missing",
    "device-nodes-missing",
    "device-nodes-surplus",
    "nic-index-beyond-all",
    "nic-index-beyond-some",
    "nic-shared",
    "nic-shared-on-virtual",
    "node-without-role",
    "role-of-unknown-node",
    "storage-nic-beyond",
    "zero-mac-on-admin",
    "zero-mac-on-baremetal",
}


def test_addresses_are_checked_where_iecpod_hands_them_out(tmp_path: Path) -> None:
    write_pod(tmp_path, "lab", "full", idf={"idf.net_config.mgmt.mask": 28, "idf.net_config.mgmt.ip-range": REMOVED})
    result = run(tmp_path, "validate", "-b", ".", "-l", "lab", "-p", "full")
    assert result.stdout.startswith(
        "labs/lab/idf-full.yaml:16:5: idf.net_config.mgmt.ip-range: error: 172.16.10.0/28 has no address for "
        "node-1, node-2, node-3 [address-exhausted]\n"
    )


def test_addresses_are_those_of_the_chosen_scheme(tmp_path: Path) -> None:
    write_pod(tmp_path, "lab", "short", idf={"idf.net_config.mgmt.ip-range": "172.16.10.10-172.16.10.20"})
    validate = ("validate", "-b", ".", "-l", "lab", "-p", "short")
    fuel, compact = run(tmp_path, *validate), run(tmp_path, *validate, "--addressing", "compact")
    assert fuel.exit_code == 3 and re.findall(r"\[(.*)\]$", fuel.stdout, re.MULTILINE) == ["address-beyond-range"]
    assert (compact.exit_code, compact.stdout) == (0, "1 POD, 0 errors, 0 warnings\n")


SECRETS = ("node-1", "10.0.20.9")


@pytest.fixture
def hidden(tmp_path: Path) -> tuple[str, ...]:
    """`validate` of a POD whose faults are encrypted; behind its first five arguments, the keys."""
    pair = Pair(tmp_path, "eyaml")
    name, gateway = map(pair.encrypt, SECRETS)
    write_pod(tmp_path, "lab", "hidden", {"nodes[1].name": name}, {"idf.net_config.public.gateway": gateway})
    keys = ("--eyaml-private-key", str(pair.private_file), "--eyaml-public-key", str(pair.public_file))
    return ("validate", "-b", ".", "-l", "lab", "-p", "hidden", *keys)


@pytest.mark.parametrize(("node_type", "rule"), [("virtual", "gateway-unreachable"), ("baremetal", "gateway-outside")])
def test_a_gateway_out_of_reach_is_reported_once(tmp_path: Path, node_type: str, rule: str) -> None:
    """As an error where iecpod hands the addresses out; demoted, it is still one problem."""
    pdf = {f"nodes[{index}].node.type": node_type for index in range(3)}
    write_pod(tmp_path, "lab", "pod", pdf, {"idf.net_config.public.gateway": "10.0.20.1"})
    command = ("validate", "-b", ".", "-l", "lab", "-p", "pod", "--format", "json")
    for demoted in ((), ("--demote", rule)):
        (pod,) = json.loads(run(tmp_path, *command, *demoted).stdout)["pods"]
        assert [found["rule"] for found in pod["problems"] if found["rule"].startswith("gateway-")] == [rule]


def test_encrypted_values_are_checked_where_there_are_keys(tmp_path: Path, hidden: tuple[str, ...]) -> None:
    result = run(tmp_path, *hidden)
    place, fits = "labs/lab/hidden.yaml:87:9: nodes[1].name", "a value that was decrypted does not fit here"
    assert f"{place}: error: {fits}: nodes are identified by their names [duplicate-node-name]\n" in result.stdout
    unreachable = "error: nodes cannot reach the gateway (secret): it is outside 10.0.19.0/24 [gateway-unreachable]"
    assert f"idf.net_config.public.gateway: {unreachable}\n" in result.stdout
    assert result.exit_code == 3 and not any(secret in result.stdout for secret in SECRETS)
    assert run(tmp_path, *hidden[:-4]).exit_code == 0


def test_what_is_wrong_with_encrypted_values_can_be_demoted(tmp_path: Path, hidden: tuple[str, ...]) -> None:
    """Every error but one, which stays; and what then passes is not shown either."""
    demoted = ("--demote", "duplicate-node-name")
    result = run(tmp_path, *hidden, *demoted, "--format", "json")
    (pod,) = json.loads(result.stdout)["pods"]
    severities = {problem["rule"]: problem["severity"] for problem in pod["problems"]}
    assert (severities["duplicate-node-name"], severities["gateway-unreachable"]) == ("warning", "error")
    both = run(tmp_path, *hidden, *demoted, "--demote", "gateway-unreachable")
    assert both.exit_code == 0 and not any(secret in result.stdout + both.stdout for secret in SECRETS)


def test_a_file_alone_is_decrypted_too(tmp_path: Path, hidden: tuple[str, ...]) -> None:
    (tmp_path / "labs/lab/idf-hidden.yaml").unlink()
    result = run(tmp_path, "validate", "labs/lab/hidden.yaml", *hidden[-4:])
    assert re.findall(r"\[([\w-]+)\]$", result.stdout, re.MULTILINE) == ["duplicate-node-name"]


def test_values_of_another_lab(tmp_path: Path, hidden: tuple[str, ...]) -> None:
    stranger = Pair(tmp_path, "stranger")
    keys = ("--eyaml-private-key", str(stranger.private_file), "--eyaml-public-key", str(stranger.public_file))
    result = run(tmp_path, *hidden[:-4], *keys, "--format", "junit")
    suite = ElementTree.fromstring(result.stdout).find("testsuite")
    assert suite is not None and result.exit_code == 3
    failed = {case.attrib["name"]: case.find("failure") for case in suite if case.find("failure") is not None}
    assert list(failed) == ["encrypted"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either a POD with -l and -p, or FILES, or --all"),
        (("--all", "-l", "arm", "-p", "virtual1"), "give either a POD with -l and -p, or FILES, or --all"),
        (("x.yaml", "--all"), "give either a POD with -l and -p, or FILES, or --all"),
        (("-l", "arm"), "a POD is named by both -l and -p"),
        (("x.yaml", "-b", "."), "FILES are paths of their own: they go without -b"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(tmp_path, "validate", *arguments)
    assert result.exit_code == 2 and message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--all", "-b", "https://example.org/pods"),
            "iecpod: error: the PODs of https://example.org/pods cannot be listed: HTTP has no directories\n"
            "iecpod: remedy: name one with -l and -p, or give a directory with -b\n",
        ),
        (
            ("pdf/labs",),
            "iecpod: error: pdf/labs is a directory\niecpod: remedy: give files, or check a whole base with --all -b\n",
        ),
        (
            ("--all", "-b", "schemas"),
            "iecpod: error: there are no descriptors below schemas/labs\n"
            "iecpod: remedy: give a base with labs/<lab>/<pod>.yaml\n",
        ),
        (
            ("--all", "--demote", "duplicate-name"),
            "iecpod: error: there is no rule 'duplicate-name'\niecpod: remedy: did you mean duplicate-nic-name?\n",
        ),
        (
            ("--all", "--eyaml-public-key", "lab.pem"),
            "iecpod: error: --eyaml-private-key is missing\n"
            "iecpod: remedy: hiera-eyaml needs both of its keys to decrypt: give both\n",
        ),
        (
            ("--all", "--demote", "schema-mac"),
            "iecpod: error: the rule schema-mac cannot be demoted: it leaves no value that could be used\n"
            "iecpod: remedy: correct what it finds\n",
        ),
    ],
)
def test_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """As a process, from its start to its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "iecpod", "validate", *arguments],
        cwd=ROOT,
        env={"IECPOD_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    log = f"iecpod: log: {tmp_path}/log/iecpod.log\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + log)


def test_the_log_has_no_secrets_of_the_command_line(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "iecpod", "validate", "-b", "https://me:s3cr3t@lab.example/labs"],
        env={"IECPOD_STATE_DIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    log = (tmp_path / "log/iecpod.log").read_text()
    assert "validate -b 'https://(secret)@lab.example/labs'" in log
    assert "s3cr3t" not in log
