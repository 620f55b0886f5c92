"""`iecpod validate`: everything that is wrong with descriptors, without a hypervisor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iecpod.descriptors.addresses.addressing import Scheme
from iecpod.descriptors.crosscheck import RULES
from iecpod.descriptors.encrypted import Decrypt
from iecpod.descriptors.lab_tree import find_described_pods
from iecpod.descriptors.load_pod import check_read_pod
from iecpod.descriptors.pod_files import NOT_GIVEN, Descriptors, ReadPod, load_descriptors, load_files, local_base
from iecpod.errors import Problem, Severity, UsageError, sort_problems
from iecpod.model import PodRef
from iecpod.reports.validation import PodValidation, Validation


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """How to judge. With `strict`, warnings are errors, except those of `demoted` rules.

    `decrypt` looks into encrypted values, too; the nodes' addresses are those of `scheme`.
    """

    schemas_dir: Path
    decrypt: Decrypt | None = None
    scheme: Scheme = "fuel"
    strict: bool = False
    demoted: frozenset[str] = frozenset()


def validate_pod(base_uri: str, ref: PodRef, checks: Checks) -> Validation:
    """Raises `UsageError` for impossible URIs."""
    return _judge([load_descriptors(base_uri, ref)], checks)


def validate_files(paths: Sequence[Path], checks: Checks) -> Validation:
    """Each file with its partner, where that is beside it."""
    return _judge(load_files(paths), checks)


def validate_tree(base_uri: str, checks: Checks) -> Validation:
    """Every POD of a base on disk. Raises `UsageError` for a base that cannot be listed or holds none."""
    return _judge(load_tree(base_uri), checks)


def load_tree(base_uri: str) -> Iterator[ReadPod]:
    """Every POD of a base on disk, as far as it can be read. Raises `UsageError` at once, as `validate_tree`."""
    base = local_base(base_uri)
    named = find_described_pods(base)
    if not named:
        raise UsageError(f"there are no descriptors below {base / 'labs'}", "give a base with labs/<lab>/<pod>.yaml")
    return (_load_listed(base, lab, pod) for lab, pod in named)


def _load_listed(base: Path, lab: str, pod: str) -> ReadPod:
    try:
        return load_descriptors(str(base), PodRef(lab, pod))
    except UsageError as error:
        file = str(base / "labs" / lab / f"{pod}.yaml")
        problem = Problem(file=file, message=error.cause, remedy=error.remedy, rule="descriptor-name")
        nothing = Descriptors(NOT_GIVEN, NOT_GIVEN)
        return ReadPod(name=f"{lab}/{pod}", ref=None, files=(file,), descriptors=nothing, problems=(problem,))


def _judge(pods: Iterator[ReadPod] | Sequence[ReadPod], checks: Checks) -> Validation:
    return Validation(tuple(_judge_pod(pod, checks) for pod in pods))


def _judge_pod(pod: ReadPod, checks: Checks) -> PodValidation:
    problems = check_read_pod(
        pod, checks.schemas_dir, checks.decrypt, demoted=checks.demoted, scheme=checks.scheme
    ).problems
    if checks.strict:
        problems = tuple(
            problem if problem.rule in checks.demoted else replace(problem, severity=Severity.ERROR)
            for problem in problems
        )
    is_dialect = any(problem.rule.startswith("dialect-") for problem in problems)
    return PodValidation(
        name=pod.name,
        files=pod.files,
        rules=tuple(rule.name for rule in RULES) if pod.descriptors.are_both_given and not is_dialect else (),
        problems=tuple(sort_problems(problems)),
    )
