"""A node leaves the PDF and comes back: the others keep their names, addresses and machines."""

from __future__ import annotations

import shutil
from pathlib import Path

from iecpod.yaml_document import dump_yaml, load_yaml
from tests.e2e.conftest import Iecpod

_PDF_DIR = Path(__file__).parents[2] / "pdf"
_STAYING = ("iec01", "iec03")


def _base_without_node_2(directory: Path) -> Path:
    shutil.copytree(_PDF_DIR, directory)
    pdf, idf = directory / "labs/local/virtual1.yaml", directory / "labs/local/idf-virtual1.yaml"
    described, designed = load_yaml(pdf.read_bytes(), str(pdf)).data, load_yaml(idf.read_bytes(), str(idf)).data
    assert isinstance(described, dict) and isinstance(designed, dict)
    del described["nodes"][1]
    del designed["idf"]["fuel"]["network"]["node"][1]
    pdf.write_text(dump_yaml(described))
    idf.write_text(dump_yaml(designed))
    return directory


def _nodes(pod: Iecpod) -> dict[str, tuple[str, str]]:
    """UID and pod CIDR by name."""
    return {
        item["metadata"]["name"]: (item["metadata"]["uid"], item["spec"]["podCIDR"])
        for item in pod.get("nodes")["items"]
    }


def test_a_node_that_left_the_pdf_is_removed_on_request(pod: Iecpod, tmp_path: Path) -> None:
    before = _nodes(pod)
    base = ("-b", str(_base_without_node_2(tmp_path / "base")))
    plan = pod.run("plan", "--detailed-exitcode", *base)
    assert plan.returncode == 6 and "deploy --prune" in plan.stdout, plan.stderr
    refused = pod.run("deploy", *base)
    assert refused.returncode == 4 and "node iec02" in refused.stderr and "--prune" in refused.stderr
    assert _nodes(pod) == before

    pod.check("deploy", "--prune", *base)
    assert _nodes(pod) == {name: before[name] for name in _STAYING}
    assert "iec02" not in pod.virsh("list", "--all", "--name")
    assert not [path.name for path in (pod.pod_dir / "pool").iterdir() if "iec02" in path.name]
    assert pod.run("plan", "--detailed-exitcode").returncode == 0


def test_a_node_that_is_added_to_the_pdf_joins_and_touches_no_other(pod: Iecpod) -> None:
    """It takes the place that became free, so its name, address and pod CIDR are those that the node had."""
    before = _nodes(pod)
    pod.check("deploy", "-b", str(_PDF_DIR))
    after = _nodes(pod)
    assert {name: after[name] for name in _STAYING} == before and set(after) == {*_STAYING, "iec02"}
    outcomes = {phase["name"]: phase["outcome"] for phase in pod.report()["phases"]}
    assert outcomes["domains"] == outcomes["workers"] == outcomes["verify"] == "done"
    assert outcomes["networks"] == outcomes["control-plane"] == "in place"
    assert "iec02" in pod.on_node("iec03", "getent", "hosts", "iec02")
    assert "in place" in pod.check("deploy").splitlines()[-1]
