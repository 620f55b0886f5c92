"""A POD from its files: read, decrypted, validated against schemas and rules, parsed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iecpod.descriptors.crosscheck import RULES, check_pod
from iecpod.descriptors.encrypted import Decrypt, check_needed, decrypt_document
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.schema import check_schema, sort_key
from iecpod.descriptors.secrets import Secrets, conceal
from iecpod.descriptors.source import Descriptors, load_descriptors
from iecpod.errors import DescriptorError, PreflightError, Problem, Severity
from iecpod.model import PodRef, PodSpec
from iecpod.yaml_document import split_path


@dataclass(frozen=True, slots=True)
class LoadedPod:
    """A valid POD, the warnings about it, the files it comes from, and what was decrypted on the way."""

    spec: PodSpec
    warnings: tuple[Problem, ...]
    descriptors: Descriptors
    secrets: Secrets

    @contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Errors pass, with the lines that their problems are in, and without secrets."""
        with self.secrets.kept_from_errors():
            try:
                yield
            except (DescriptorError, PreflightError) as error:
                error.problems = tuple(self.located(problem) for problem in error.problems)
                raise

    def located(self, problem: Problem) -> Problem:
        """A problem that knows only its file and path, with line and column."""
        for document in (self.descriptors.pdf, self.descriptors.idf):
            if problem.line is None and problem.path and problem.file == document.file:
                line, column = document.position(split_path(problem.path))
                return dataclasses.replace(problem, line=line, column=column)
        return problem


@dataclass(frozen=True, slots=True)
class CheckedDescriptors:
    """Both files with their secrets decrypted, and everything that is wrong with them: errors first, each by place."""

    descriptors: Descriptors
    problems: tuple[Problem, ...]
    secrets: Secrets


def load_pod(
    base_uri: str, ref: PodRef, schemas_dir: Path, decrypt: Decrypt | None = None, *, with_hypervisor: bool = True
) -> LoadedPod:
    """The POD, ready to be deployed; `with_hypervisor` wants the libvirt URI from the PDF.

    Raises `DescriptorError` with every problem of both files, warnings too.
    """
    checked = decrypt_and_check(load_descriptors(base_uri, ref), schemas_dir, decrypt)
    # With keys, what is still encrypted is among the problems as a value that they do not decrypt.
    needed = check_needed(checked.descriptors, with_hypervisor=with_hypervisor) if decrypt is None else []
    problems = _sorted([*checked.problems, *needed])
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        count = f"{len(errors)} error" + ("s" if len(errors) > 1 else "")
        raise DescriptorError(problems, f"the descriptors of POD {ref} have {count}", "correct the places listed")
    return LoadedPod(parse_pod(ref, checked.descriptors), tuple(problems), checked.descriptors, checked.secrets)


def decrypt_and_check(descriptors: Descriptors, schemas_dir: Path, decrypt: Decrypt | None) -> CheckedDescriptors:
    """What `check_descriptors` finds, in the encrypted values too where there are keys. No problem tells a secret."""
    problems = check_descriptors(descriptors, schemas_dir)
    if decrypt is None:
        return CheckedDescriptors(descriptors, tuple(problems), Secrets())
    pdf, pdf_problems, pdf_secrets = decrypt_document(descriptors.pdf, decrypt)
    idf, idf_problems, idf_secrets = decrypt_document(descriptors.idf, decrypt)
    decrypted, secrets = Descriptors(pdf, idf), Secrets(pdf_secrets | idf_secrets)
    if secrets.texts:
        reasons = {rule.name: rule.reason for rule in RULES}
        problems = conceal(problems, check_descriptors(decrypted, schemas_dir), reasons)
    failed = {(problem.file, problem.path): problem for problem in (*pdf_problems, *idf_problems)}
    others = [problem for problem in problems if (problem.file, problem.path) not in failed]
    return CheckedDescriptors(decrypted, tuple(_sorted([*others, *failed.values()])), secrets)


def check_descriptors(descriptors: Descriptors, schemas_dir: Path) -> list[Problem]:
    """Everything that is wrong with a pair of files: errors first, then warnings, each by place."""
    pdf = check_schema(descriptors.pdf, "pdf", schemas_dir)
    idf = check_schema(descriptors.idf, "idf", schemas_dir)
    dialects = [problem for problem in (*pdf, *idf) if problem.rule.startswith("dialect-")]
    crossed = [] if dialects else check_pod(descriptors)
    return _sorted([*descriptors.pdf.warnings, *descriptors.idf.warnings, *pdf, *idf, *crossed])


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(set(problems), key=lambda problem: (problem.severity is Severity.WARNING, *sort_key(problem)))
