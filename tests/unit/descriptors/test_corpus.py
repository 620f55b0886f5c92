"""Descriptors that labs used: each gets the verdict that it deserves. Skipped where the corpus is not at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from iecpod.descriptors.addresses.addressing import allocate
from iecpod.descriptors.load_pod import check_descriptors
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.pod_files import Descriptors
from iecpod.descriptors.schema import check_schema
from iecpod.errors import Severity
from iecpod.model import PodRef
from iecpod.yaml.document import dump_yaml, load_yaml
from tests.unit.descriptors.broken_pod import ROOT, SCHEMAS_DIR

CORPUS = Path(os.environ.get("IECPOD_TEST_CORPUS", ROOT.parent / "shared" / "corpus"))
VERDICTS = json.loads((CORPUS / "verdicts.json").read_text()) if (CORPUS / "verdicts.json").is_file() else {}
#: Rules that real labs break and that therefore only warn; every other finding in the corpus is a mistake of ours.
WARNINGS = {
    "bmc-address-not-ip",
    "bmc-mac-is-nic-mac",
    "device-count-differs",
    "device-missing",
    "device-nodes-surplus",
    "dns-not-a-list",
    "duplicate-bmc-mac",
    "duplicate-mac-baremetal",
    "duplicate-mac-in-machine",
    "duplicate-nic-address",
    "duplicate-nic-name",
    "gateway-outside",
    "mixed-architectures",
    "network-host-bits",
    "network-missing",
    "networks-overlap",
    "nic-index-beyond-some",
    "nic-shared",
    "node-without-role",
    "public-gateway-missing",
    "role-of-unknown-node",
    "roles-and-hostnames-differ",
    "storage-nic-beyond",
    "zero-mac-on-baremetal",
}
ACCEPTED_PAIRS = [
    name
    for name, verdict in VERDICTS.items()
    if verdict["kind"] == "pdf"
    and verdict["pharos_schema"] == "accept"
    and str(Path(name).parent / f"idf-{Path(name).name}") in VERDICTS
]
needs_corpus = pytest.mark.skipif(not VERDICTS, reason="the corpus of real descriptors is not on this machine")


def load_pair(name: str) -> Descriptors:
    pdf = CORPUS / "labs" / name
    idf = pdf.with_name(f"idf-{pdf.name}")
    return Descriptors(load_yaml(pdf.read_bytes(), name), load_yaml(idf.read_bytes(), f"idf of {name}"))


@needs_corpus
def test_the_corpus_is_whole() -> None:
    assert (len(VERDICTS), len(ACCEPTED_PAIRS)) == (52, 24)


@needs_corpus
@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name: str) -> None:
    verdict = VERDICTS[name]
    document = load_yaml((CORPUS / "labs" / name).read_bytes(), name)
    problems = check_schema(document, verdict["kind"], SCHEMAS_DIR)
    if verdict["pharos_schema"] == "accept":
        assert problems == []
    else:
        assert [problem.rule for problem in problems] == ["dialect-kuberef"]
        assert "opnfv/kuberef" in problems[0].message


@needs_corpus
@pytest.mark.parametrize("name", ACCEPTED_PAIRS)
def test_pairs_have_no_errors_and_known_warnings(name: str) -> None:
    pair = load_pair(name)
    problems = check_descriptors(pair, SCHEMAS_DIR)
    assert [str(problem) for problem in problems if problem.severity is Severity.ERROR] == []
    assert {problem.rule for problem in problems} <= WARNINGS
    spec = parse_pod(PodRef("lab", Path(name).stem), pair)
    for scheme in ("fuel", "compact"):
        assert {problem.rule for problem in allocate(spec, scheme).problems} <= {"gateway-unreachable"}


@needs_corpus
@pytest.mark.parametrize("name", ACCEPTED_PAIRS)
def test_parse_dump_parse_is_stable(name: str) -> None:
    pair = load_pair(name)
    again = Descriptors(*(load_yaml(dump_yaml(document.data), document.file) for document in (pair.pdf, pair.idf)))
    ref = PodRef("lab", "pod")
    assert (again.pdf.data, again.idf.data) == (pair.pdf.data, pair.idf.data)
    assert parse_pod(ref, again) == parse_pod(ref, pair)


@needs_corpus
@pytest.mark.parametrize("pod", ["virtual1", "virtual2"])
def test_our_descriptors_state_the_same_facts(pod: str) -> None:
    """All but `remote_params`, an anchor that ours do without."""
    ours = [load_yaml((ROOT / "pdf/labs/arm" / name).read_bytes(), "") for name in (f"{pod}.yaml", f"idf-{pod}.yaml")]
    theirs = load_pair(f"iec/arm/{pod}.yaml")
    assert isinstance(theirs.pdf.data, dict)
    del theirs.pdf.data["jumphost"]["remote_params"]
    assert [document.data for document in ours] == [theirs.pdf.data, theirs.idf.data]
