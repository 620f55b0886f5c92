"""`iecpod rules` and `--demote`: every name that a finding can have is known, and demoting it works."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.commands.rules import select_demoted
from iecpod.descriptors.formats import FORMATS
from iecpod.descriptors.load_pod import load_pod
from iecpod.descriptors.rule_catalog import RULE_BOOK
from iecpod.design.machines import Route
from iecpod.errors import DescriptorError, PreflightError, Problem, Severity, UsageError
from iecpod.model import NodeType
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below, run, write_pod
from tests.unit.descriptors.broken_pod import ROOT, SCHEMAS_DIR, Edits
from tests.unit.descriptors.eyaml_pair import Pair
from tests.unit.descriptors.test_crosscheck import CASES
from tests.unit.descriptors.test_schema import CASES as SCHEMA_CASES
from tests.unit.descriptors.test_schema import PDF, walk

#: Keywords of the schemas that refuse nothing by themselves, or whose findings have a name of their own.
SILENT = {
    *("$schema", "$id", "$ref", "$defs", "title", "description", "writeOnly", "format"),
    *("properties", "additionalProperties", "required", "dependentRequired", "items"),
    *("allOf", "if", "then", "else", "contains", "propertyNames"),
}


#: Of machines that are there, each broken once in test_existing_preflight.py.
EXISTING = ROOT / "iecpod/providers/existing"
_WRITTEN = {name for path in EXISTING.glob("*.py") for name in re.findall(r'"(node-[a-z-]+)"', path.read_text())}
NODE_RULES = _WRITTEN & set(RULE_BOOK)


def names_in_source() -> Iterator[str]:
    """What is written as `rule=`, or as the last text given to the two functions that take a rule's name there."""
    for path in (ROOT / "iecpod").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            found = [keyword.value for keyword in node.keywords if keyword.arg == "rule"]
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("report", "_problem"):
                found.extend([value for value in node.args if isinstance(value, (ast.Constant, ast.JoinedStr))][-1:])
            found.extend(node.args[:1] if name == "problem" else [])
            for value in found:
                if isinstance(value, ast.Constant):
                    yield str(value.value)
                elif isinstance(value, ast.JoinedStr):  # rule=f"{what}-cidr-overlap"
                    tail = str(getattr(value.values[-1], "value", ""))
                    if tail.startswith("-cidr"):
                        yield from (f"pod{tail}", f"service{tail}")


def test_every_finding_has_a_rule_in_the_book() -> None:
    names = set(names_in_source())
    assert {"yaml-tag", "yaml-misread", "address-taken", "encrypted", "service-cidr-overlap", "memory"} <= names
    assert names - set(RULE_BOOK) == set()


def test_every_keyword_and_format_of_the_schemas_has_a_rule_in_the_book() -> None:
    schemas = [json.loads(path.read_text()) for path in SCHEMAS_DIR.glob("*.json")]
    keywords = {keyword for schema in schemas for node in nodes_of(schema) for keyword in node} - SILENT
    assert {f"schema-{name.lower()}" for name in (*keywords, *FORMATS)} - set(RULE_BOOK) == set()


def nodes_of(schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas within a schema; names of properties and definitions are no keywords."""
    names = [node[key] for node in walk(schema) for key in ("properties", "$defs", "dependentRequired") if key in node]
    yield from (node for node in walk(schema) if not any(node is name for name in names))


def test_table(tmp_path: Path) -> None:
    lines = run(tmp_path, "rules").stdout.splitlines()
    assert len(lines) == len(RULE_BOOK) + 1 > 100
    assert lines[0].split() == ["RULE", "SEVERITY", "DEMOTE", "REASON", "SOURCE"]
    rows = {line.split()[0]: " ".join(line.split()) for line in lines}
    assert rows["yaml-tag"].startswith("yaml-tag error no a tag of its own makes objects")
    assert (
        rows["duplicate-mac"] == "duplicate-mac error yes two VMs with one MAC on a network cannot communicate IEEE 802"
    )
    assert rows["gateway-outside"] == (
        "gateway-outside warning - nodes reach only what is in their network three labs have a /24 router"
    )


def test_json(tmp_path: Path) -> None:
    rules = {rule["name"]: rule for rule in json.loads(run(tmp_path, "rules", "--format", "json").stdout)}
    assert set(rules) == set(RULE_BOOK) and all(rule["reason"] and rule["source"] for rule in rules.values())
    assert rules["schema-mac"] == {
        "name": "schema-mac",
        "severity": "error",
        "demotable": False,
        "reason": "a MAC is six pairs of hex digits",
        "source": "IEEE 802",
        "fixed": "it leaves no value that could be used",
    }
    assert {rule["demotable"] for rule in rules.values() if rule["severity"] == "warning"} == {False}


def test_selecting() -> None:
    assert select_demoted(["duplicate-mac", "gateway-outside"]) == {"duplicate-mac", "gateway-outside"}
    with pytest.raises(UsageError) as unknown:
        select_demoted(["duplicat-mac"])
    assert (unknown.value.cause, unknown.value.remedy) == (
        "there is no rule 'duplicat-mac'",
        "did you mean duplicate-mac?",
    )
    with pytest.raises(UsageError) as fixed:
        select_demoted(["network-needed"])
    assert fixed.value.cause == (
        "the rule network-needed cannot be demoted: without these networks there is nothing to build"
    )


#: Rule, and how the sound POD is broken for it.
BROKEN: list[tuple[str, Edits, Edits]] = [
    *((case.rule, case.pdf, case.idf) for case in CASES if case.severity is Severity.ERROR),
    *(
        (expected[0][3], edits if name == PDF else {}, {} if name == PDF else edits)
        for name, edits, expected in SCHEMA_CASES
    ),
    ("schema-uri", {"details.link": "somewhere"}, {}),
    ("schema-installer", {}, {"idf.installer": ["osh"]}),
    ("gateway-unreachable", {}, {"idf.net_config.public.gateway": "10.0.20.1"}),
    ("address-beyond-range", {}, {"idf.net_config.mgmt.ip-range": "172.16.10.10-172.16.10.20"}),
    ("address-taken", {}, {"idf.net_config.mgmt.gateway": "172.16.10.36"}),
    ("address-in-pool", {}, {"idf.fuel.network.public_pool": {"start_ip": "10.0.19.1", "end_ip": "10.0.19.250"}}),
]
DEMOTABLE = [broken for broken in BROKEN if not RULE_BOOK[broken[0]].fixed]


@pytest.mark.parametrize(("rule", "pdf", "idf"), DEMOTABLE, ids=[rule for rule, _, _ in DEMOTABLE])
def test_a_demoted_rule_warns_and_the_pod_can_be_planned(tmp_path: Path, rule: str, pdf: Edits, idf: Edits) -> None:
    write_pod(tmp_path, REF.lab, REF.pod, pdf, idf)
    with pytest.raises(DescriptorError) as caught:
        load_pod(str(tmp_path), REF, SCHEMAS_DIR)
    errors = {problem.rule for problem in caught.value.problems if problem.severity is Severity.ERROR}
    assert rule in errors
    demoted = select_demoted(errors)
    pod = load_pod(str(tmp_path), REF, SCHEMAS_DIR, demoted=demoted)
    assert rule in {warning.rule for warning in pod.warnings}
    if all(node.type is NodeType.VIRTUAL for node in pod.spec.pdf.nodes):
        layout = layout_below(tmp_path)
        request = pod_request(ref=REF, base_uri=str(tmp_path), demoted=demoted)
        inputs = resolve_request(request, layout, SavedPod())
        assert make_pod_plan(inputs, FakeTools(tmp_path, layout)).problems == ()


def test_what_only_a_deploy_needs_is_demoted_too(tmp_path: Path) -> None:
    """The disk of the host, and a pod CIDR that is one of the IDF's."""
    write_pod(tmp_path, REF.lab, REF.pod)
    layout = layout_below(tmp_path)
    tools = FakeTools(tmp_path, layout)
    tools.free = 0
    request = pod_request(ref=REF, base_uri=str(tmp_path), pod_cidr="172.16.0.0/16", service_cidr="10.99.0.0/24")
    inputs = resolve_request(request, layout, SavedPod())
    assert errors_of(make_pod_plan(inputs, tools).problems) == {"pod-cidr-overlap", "disk-full"}
    one = dataclasses.replace(request, demoted=frozenset(["pod-cidr-overlap"]))
    assert errors_of(make_pod_plan(resolve_request(one, layout, SavedPod()), tools).problems) == {"disk-full"}
    both = dataclasses.replace(request, demoted=frozenset(["pod-cidr-overlap", "disk-full"]))
    assert make_pod_plan(resolve_request(both, layout, SavedPod()), tools).problems == ()
    assert all(line.startswith("warning: warning: ") for line in tools.reporter.lines)
    assert {line.rpartition("[")[2].partition("]")[0] for line in tools.reporter.lines} == both.demoted


def errors_of(problems: Iterable[Problem]) -> set[str]:
    return {problem.rule for problem in problems if problem.severity is Severity.ERROR}


def test_cidrs_that_overlap_each_other_are_demoted_too(tmp_path: Path) -> None:
    write_pod(tmp_path, REF.lab, REF.pod)
    layout = layout_below(tmp_path)
    request = pod_request(ref=REF, base_uri=str(tmp_path), pod_cidr="10.98.0.0/15", service_cidr="10.99.0.0/24")
    with pytest.raises(PreflightError) as caught:
        resolve_request(request, layout, SavedPod())
    assert errors_of(caught.value.problems) == {"pod-cidr-overlap"}
    demoted = dataclasses.replace(request, demoted=frozenset(["pod-cidr-overlap"]))
    tools = FakeTools(tmp_path, layout)
    assert make_pod_plan(resolve_request(demoted, layout, SavedPod()), tools).problems == ()
    (shown,) = tools.reporter.lines
    assert "the pod CIDR 10.98.0.0/15 overlaps 10.99.0.0/24, which is taken by the service CIDR" in shown


def test_what_is_wrong_with_encrypted_values_is_demoted_and_not_shown(tmp_path: Path) -> None:
    """The name of a node, and a network of the host."""
    pair = Pair(tmp_path, "eyaml")
    edits = {"idf.net_config.mgmt.network": pair.encrypt("172.16.10.0")}
    write_pod(tmp_path, REF.lab, REF.pod, {"nodes[1].name": pair.encrypt("node-1")}, edits)
    layout = layout_below(tmp_path)
    tools = FakeTools(tmp_path, layout, (Route(IPv4Network("172.16.8.0/21"), "eth0", "interface eth0"),))
    demoted = frozenset(["duplicate-node-name", "idf-network-overlap"])
    keys = (str(pair.private_file), str(pair.public_file))
    inputs = resolve_request(
        pod_request(ref=REF, base_uri=str(tmp_path), eyaml_keys=keys, demoted=demoted), layout, SavedPod()
    )
    assert "duplicate-node-name" in {warning.rule for warning in inputs.loaded.warnings}
    result = make_pod_plan(inputs, tools)
    (overlap,) = (line for line in tools.reporter.lines if "idf-network-overlap" in line)
    assert ": idf.net_config.mgmt.network: warning: IDF network mgmt ((secret)/24) overlaps" in overlap
    assert re.search(r"yaml:\d+:\d+: ", overlap)
    shown = "\n".join([plan_text(inputs, result), *tools.reporter.lines, *map(str, inputs.loaded.warnings)])
    assert not re.search(r"node-1\b|172\.16\.10\.0\b", shown)


def test_every_demotable_rule_of_descriptors_is_tried() -> None:
    deploys = {"memory", "disk-full", "pod-cidr-overlap", "service-cidr-overlap", "idf-network-overlap"}
    deploys |= {"registry-mirror-unused", "bridge-mtu", "bridge-of-libvirt", *NODE_RULES}
    demotable = {name for name, rule in RULE_BOOK.items() if rule.severity is Severity.ERROR and not rule.fixed}
    assert demotable - deploys - {rule for rule, _, _ in DEMOTABLE} == set()
