"""A POD from its files: read, validated against schemas and rules, parsed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from iecpod.descriptors.addressing import allocate
from iecpod.descriptors.crosscheck import check_pod
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.schema import HARMLESS_RULES, check_schema
from iecpod.descriptors.source import NOT_GIVEN, Descriptors, ReadPod, load_descriptors
from iecpod.errors import DescriptorError, Problem, count_errors, sort_problems
from iecpod.model import NodeType, PodRef, PodSpec
from iecpod.yaml_document import split_path


def load_pod(
    base_uri: str, ref: PodRef, schemas_dir: Path, demoted: Collection[str] = ()
) -> tuple[PodSpec, tuple[Problem, ...]]:
    """The POD and the warnings about it. Raises `DescriptorError` with every problem of both files, warnings too."""
    pod = load_descriptors(base_uri, ref)
    problems = check_read_pod(pod, schemas_dir, demoted)
    errors = count_errors(problems)
    if errors:
        count = f"{errors} error" + ("s" if errors > 1 else "")
        raise DescriptorError(problems, f"the descriptors of POD {ref} have {count}", "correct the places listed")
    return parse_pod(ref, pod.descriptors), tuple(problems)


def check_read_pod(pod: ReadPod, schemas_dir: Path, demoted: Collection[str] = ()) -> list[Problem]:
    """Everything that is wrong with a POD, as far as its files can be read; errors of `demoted` rules are warnings.

    The nodes' addresses are looked at where both files can be parsed and iecpod would hand the addresses out.
    """
    problems = [*pod.problems, *check_descriptors(pod.descriptors, schemas_dir)]
    if pod.descriptors.are_both_given and all(_can_be_parsed(problem) for problem in problems):
        problems += _check_addresses(pod)
    return sort_problems(problem.demoted(demoted) for problem in problems)


def _can_be_parsed(problem: Problem) -> bool:
    """Whether a POD with this problem still has a value in every place that is read."""
    return problem.rule in HARMLESS_RULES or not problem.rule.startswith(("schema-", "dialect-"))


def check_descriptors(descriptors: Descriptors, schemas_dir: Path) -> list[Problem]:
    """What schemas and rules say of both files, or of the one that is given: errors first, then warnings, by place."""
    schemas: list[Problem] = []
    if descriptors.pdf is not NOT_GIVEN:
        schemas += check_schema(descriptors.pdf, "pdf", schemas_dir)
    if descriptors.idf is not NOT_GIVEN:
        schemas += check_schema(descriptors.idf, "idf", schemas_dir)
    is_dialect = any(problem.rule.startswith("dialect-") for problem in schemas)
    return sort_problems([*schemas, *([] if is_dialect else check_pod(descriptors))])


def _check_addresses(pod: ReadPod) -> list[Problem]:
    spec = parse_pod(pod.ref, pod.descriptors)
    if any(node.type is not NodeType.VIRTUAL for node in spec.pdf.nodes):
        return []
    return [_placed(problem, pod.descriptors) for problem in allocate(spec, "fuel").problems]


def _placed(problem: Problem, descriptors: Descriptors) -> Problem:
    """With line and column, which the POD as values no longer knows."""
    document = descriptors.idf if problem.file == descriptors.idf.file else descriptors.pdf
    line, column = document.position(split_path(problem.path))
    return replace(problem, line=line, column=column)
