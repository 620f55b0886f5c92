"""A node leaves the PDF and comes back: the others keep their names, addresses and machines."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from iecpod.yaml.document import dump_yaml, load_yaml
from tests.e2e.command import Iecpod
from tests.e2e.small_lab import ROOT

#: UID and pod CIDR by name.
Nodes = dict[str, tuple[str, str]]

_BASE = str(ROOT / "pdf")
_STAYING = ("iec01", "iec03")


def _base_without_node_2(directory: Path) -> Path:
    shutil.copytree(_BASE, directory)
    pdf, idf = directory / "labs/local/virtual1.yaml", directory / "labs/local/idf-virtual1.yaml"
    described, designed = load_yaml(pdf.read_bytes(), str(pdf)).data, load_yaml(idf.read_bytes(), str(idf)).data
    assert isinstance(described, dict) and isinstance(designed, dict)
    del described["nodes"][1]
    del designed["idf"]["fuel"]["network"]["node"][1]
    pdf.write_text(dump_yaml(described))
    idf.write_text(dump_yaml(designed))
    return directory


def _nodes(pod: Iecpod) -> Nodes:
    return {
        item["metadata"]["name"]: (item["metadata"]["uid"], item["spec"]["podCIDR"])
        for item in pod.get("nodes")["items"]
    }


@pytest.fixture(scope="module")
def base_without_node_2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(_base_without_node_2(tmp_path_factory.mktemp("without") / "base"))


@pytest.fixture(scope="module")
def nodes_before(pod: Iecpod) -> Nodes:
    return _nodes(pod)


@pytest.fixture(scope="module")
def pruned(pod: Iecpod, base_without_node_2: str, nodes_before: Nodes) -> Nodes:
    """The nodes after the removal."""
    pod.check("deploy", "--prune", "-b", base_without_node_2)
    return _nodes(pod)


def test_a_node_that_left_the_pdf_is_not_removed_unasked(
    pod: Iecpod, base_without_node_2: str, nodes_before: Nodes
) -> None:
    base = ("-b", base_without_node_2)
    plan = pod.run("plan", "--detailed-exitcode", *base)
    assert plan.returncode == 6 and "deploy --prune" in plan.stdout, plan.stderr
    refused = pod.run("deploy", *base)
    assert refused.returncode == 4 and "node iec02" in refused.stderr and "--prune" in refused.stderr
    assert _nodes(pod) == nodes_before


def test_a_node_that_left_the_pdf_is_removed_on_request(pod: Iecpod, nodes_before: Nodes, pruned: Nodes) -> None:
    assert pruned == {name: nodes_before[name] for name in _STAYING}
    assert "iec02" not in pod.virsh("list", "--all", "--name")
    assert not [path.name for path in (pod.pod_dir / "pool").iterdir() if "iec02" in path.name]
    assert pod.run("plan", "--detailed-exitcode").returncode == 0


def test_a_node_that_is_added_to_the_pdf_joins_and_touches_no_other(pod: Iecpod, pruned: Nodes) -> None:
    """It takes the place that became free, so its name, address and pod CIDR are those that the node had."""
    pod.check("deploy", "-b", _BASE)
    after = _nodes(pod)
    assert {name: after[name] for name in _STAYING} == pruned and set(after) == {*_STAYING, "iec02"}
    outcomes = {phase["name"]: phase["outcome"] for phase in pod.report()["phases"]}
    assert outcomes["domains"] == outcomes["workers"] == outcomes["verify"] == "done"
    assert outcomes["networks"] == outcomes["control-plane"] == "in place"
    assert "iec02" in pod.on_node("iec03", "getent", "hosts", "iec02")
    assert "in place" in pod.check("deploy").splitlines()[-1]
