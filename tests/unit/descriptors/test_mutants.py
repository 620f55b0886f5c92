"""Single faults: each must yield a finding that names its place. `IECPOD_TEST_MUTANTS=N` tries N a descriptor pair."""

from __future__ import annotations

import dataclasses
import functools
import os
import random
import re
from pathlib import Path

import pytest

from iecpod.descriptors.addresses.addressing import allocate
from iecpod.descriptors.load_pod import check_descriptors
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.pod_files import Descriptors
from iecpod.errors import DescriptorError, Problem, Severity
from iecpod.model import PodRef
from iecpod.yaml.document import Document, load_yaml
from tests.unit.descriptors.broken_pod import DATA_DIR, ROOT, SCHEMAS_DIR
from tests.unit.descriptors.mutator import Mutant, mutate
from tests.unit.descriptors.test_corpus import ACCEPTED_PAIRS, CORPUS

OURS = [
    DATA_DIR / "virtual.yaml",
    *(ROOT / "pdf" / "labs" / name for name in ("local/virtual1.yaml", "arm/virtual1.yaml", "arm/virtual2.yaml")),
]
PAIRS = [*OURS, *(CORPUS / "labs" / name for name in ACCEPTED_PAIRS)]
#: Mutants of each of our pairs, and of each of the corpus, unless more are asked for.
COUNT_OF_OURS, COUNT_OF_CORPUS = 75, 3


@pytest.mark.parametrize("pdf", PAIRS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_fault_is_found_in_its_place(pdf: Path) -> None:
    texts = {"pdf": pdf.read_text(), "idf": pdf.with_name(f"idf-{pdf.name}").read_text()}
    mutants = list(mutate(texts["pdf"], texts["idf"]))
    count = int(os.environ.get("IECPOD_TEST_MUTANTS", COUNT_OF_OURS if pdf in OURS else COUNT_OF_CORPUS))
    chosen = random.Random(pdf.stem).sample(mutants, min(count, len(mutants)))
    known = {(problem.rule, problem.path, problem.message) for problem in find_problems(texts)}
    missed = [str(mutant) for mutant in chosen if not is_found(mutant, texts, known)]
    assert missed == []


@functools.lru_cache(maxsize=2)
def load(text: str, kind: str) -> Document:
    """One of the two files stays as it was."""
    return load_yaml(text, kind)


def find_problems(texts: dict[str, str]) -> list[Problem]:
    documents: list[Document] = []
    problems: list[Problem] = []
    for kind in ("pdf", "idf"):
        try:
            documents.append(load(texts[kind], kind))
        except DescriptorError as error:
            problems.extend(error.problems)
    if problems:
        return problems
    pod = Descriptors(*documents)
    problems = check_descriptors(pod, SCHEMAS_DIR)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return problems
    allocated = allocate(parse_pod(PodRef("lab", "pod"), pod), "fuel").problems
    return [*problems, *(dataclasses.replace(problem, file="idf") for problem in allocated)]


def is_found(mutant: Mutant, texts: dict[str, str], known: set[tuple[str, str, str]]) -> bool:
    found = find_problems({**texts, mutant.kind: mutant.write()})
    return any(
        problem.file == mutant.kind
        and names(problem, mutant.places)
        and mutant.key in problem.message
        and (problem.rule, problem.path, problem.message) not in known
        for problem in found
    )


def names(problem: Problem, places: frozenset[str | int]) -> bool:
    """Whether a problem is at one of the places, or within it."""
    within = re.match(r".*(?=[.[])", problem.path)
    return bool({problem.path, problem.line, within[0] if within else None} & places)
