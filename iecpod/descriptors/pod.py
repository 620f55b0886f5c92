"""A POD from its files: read, validated against schemas and rules, parsed."""

from __future__ import annotations

from pathlib import Path

from iecpod.descriptors.crosscheck import check_pod
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.schema import check_schema, sort_key
from iecpod.descriptors.source import Descriptors, load_descriptors
from iecpod.errors import DescriptorError, Problem, Severity
from iecpod.model import PodRef, PodSpec


def load_pod(base_uri: str, ref: PodRef, schemas_dir: Path) -> tuple[PodSpec, tuple[Problem, ...]]:
    """The POD and the warnings about it. Raises `DescriptorError` with every problem of both files, warnings too."""
    descriptors = load_descriptors(base_uri, ref)
    problems = check_descriptors(descriptors, schemas_dir)
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        count = f"{len(errors)} error" + ("s" if len(errors) > 1 else "")
        raise DescriptorError(problems, f"the descriptors of POD {ref} have {count}", "correct the places listed")
    return parse_pod(ref, descriptors), tuple(problems)


def check_descriptors(descriptors: Descriptors, schemas_dir: Path) -> list[Problem]:
    """Everything that is wrong with a pair of files: errors first, then warnings, each by place."""
    pdf = check_schema(descriptors.pdf, "pdf", schemas_dir)
    idf = check_schema(descriptors.idf, "idf", schemas_dir)
    dialects = [problem for problem in (*pdf, *idf) if problem.rule.startswith("dialect-")]
    crossed = [] if dialects else check_pod(descriptors)
    return sorted(
        {*pdf, *idf, *crossed}, key=lambda problem: (problem.severity is Severity.WARNING, *sort_key(problem))
    )
