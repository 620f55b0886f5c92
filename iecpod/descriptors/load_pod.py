"""A POD from its files: read, decrypted, validated against schemas and rules, its addresses handed out, parsed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iecpod.descriptors.addresses.addressing import Scheme, allocate
from iecpod.descriptors.crosscheck import RULES, check_pod
from iecpod.descriptors.encrypted import Decrypt, check_needed, decrypt_document
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.pod_files import NOT_GIVEN, Descriptors, ReadPod, load_descriptors
from iecpod.descriptors.redaction import Secrets, conceal
from iecpod.descriptors.schema import HARMLESS_RULES, check_schema
from iecpod.errors import DescriptorError, PreflightError, Problem, count_errors, sort_problems
from iecpod.model import NodeType, PodRef, PodSpec

#: Stands for a POD that has no name: which addresses its nodes get does not depend on that.
_UNNAMED = PodRef("lab", "pod")

#: What a rule says of descriptors is said again, and with what it means, where addresses are handed out.
_SAID_BY = {"gateway-outside": "gateway-unreachable"}


@dataclass(frozen=True, slots=True)
class LoadedPod:
    """A valid POD, the warnings about it, the files it comes from, and what was decrypted on the way."""

    spec: PodSpec
    warnings: tuple[Problem, ...]
    descriptors: Descriptors
    secrets: Secrets

    def explained(self, problem: Problem) -> Problem:
        """With the line that it is in, and without secrets."""
        return self.descriptors.located(problem).rewritten(self.secrets.hide)

    @contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Errors pass, with the lines that their problems are in, and without secrets."""
        with self.secrets.kept_from_errors():
            try:
                yield
            except (DescriptorError, PreflightError) as error:
                error.problems = tuple(map(self.descriptors.located, error.problems))
                raise


@dataclass(frozen=True, slots=True)
class CheckedDescriptors:
    """Both files with their secrets decrypted, and everything that is wrong with them: errors first, each by place."""

    descriptors: Descriptors
    problems: tuple[Problem, ...]
    secrets: Secrets


def load_pod(
    base_uri: str,
    ref: PodRef,
    schemas_dir: Path,
    decrypt: Decrypt | None = None,
    *,
    demoted: Collection[str] = (),
    scheme: Scheme = "fuel",
    with_hypervisor: bool = True,
) -> LoadedPod:
    """The POD, ready to be deployed; `with_hypervisor` requires the libvirt URI from the PDF.

    Raises `DescriptorError` with every problem of both files, warnings too.
    """
    read = load_descriptors(base_uri, ref)
    checked = check_read_pod(read, schemas_dir, decrypt, demoted=demoted, scheme=scheme)
    # With keys, what is still encrypted is among the problems as a value that they do not decrypt.
    needed = check_needed(checked.descriptors, with_hypervisor=with_hypervisor) if decrypt is None else []
    problems = sort_problems([*checked.problems, *needed])
    if errors := count_errors(problems):
        count = f"{errors} error" + ("s" if errors > 1 else "")
        raise DescriptorError(problems, f"the descriptors of POD {ref} have {count}", "correct the places listed")
    return LoadedPod(parse_pod(ref, checked.descriptors), tuple(problems), checked.descriptors, checked.secrets)


def check_read_pod(
    pod: ReadPod,
    schemas_dir: Path,
    decrypt: Decrypt | None = None,
    *,
    demoted: Collection[str] = (),
    scheme: Scheme = "fuel",
) -> CheckedDescriptors:
    """Everything that is wrong with a POD, as far as its files can be read; errors of `demoted` rules are warnings.

    The nodes' addresses are looked at where both files can be parsed and iecpod would hand the addresses out.
    """
    checked = decrypt_and_check(pod.descriptors, schemas_dir, decrypt)
    problems = [*pod.problems, *checked.problems]
    if _can_be_parsed(checked.descriptors, problems):
        problems += _check_addresses(pod.ref or _UNNAMED, checked, scheme)
    shown = sort_problems(problem.demoted(demoted) for problem in _without_duplicates(problems))
    return CheckedDescriptors(checked.descriptors, tuple(shown), checked.secrets)


def decrypt_and_check(descriptors: Descriptors, schemas_dir: Path, decrypt: Decrypt | None) -> CheckedDescriptors:
    """What `check_descriptors` finds, in encrypted values too if there are keys. No problem contains a secret."""
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
    return CheckedDescriptors(decrypted, tuple(sort_problems([*others, *failed.values()])), secrets)


def check_descriptors(descriptors: Descriptors, schemas_dir: Path) -> list[Problem]:
    """What is wrong with both files, or with the one that is given: errors first, then warnings, each by place."""
    pdf, idf = descriptors.pdf, descriptors.idf
    found = [*pdf.warnings, *idf.warnings]
    if pdf is not NOT_GIVEN:
        found += check_schema(pdf, "pdf", schemas_dir)
    if idf is not NOT_GIVEN:
        found += check_schema(idf, "idf", schemas_dir)
    is_dialect = any(problem.rule.startswith("dialect-") for problem in found)
    return sort_problems([*found, *([] if is_dialect else check_pod(descriptors))])


def _can_be_parsed(descriptors: Descriptors, problems: Collection[Problem]) -> bool:
    """Whether there is a value in every place that is read."""
    return (
        descriptors.are_both_given
        and all(
            problem.rule in HARMLESS_RULES or not problem.rule.startswith(("schema-", "dialect-"))
            for problem in problems
        )
        and not check_needed(descriptors, with_hypervisor=False)
    )


def _without_duplicates(problems: Collection[Problem]) -> list[Problem]:
    printed = {(problem.rule, problem.file, problem.path) for problem in problems}
    return [problem for problem in problems if (_SAID_BY.get(problem.rule), problem.file, problem.path) not in printed]


def _check_addresses(ref: PodRef, checked: CheckedDescriptors, scheme: Scheme) -> list[Problem]:
    spec = parse_pod(ref, checked.descriptors)
    if any(node.type is not NodeType.VIRTUAL for node in spec.pdf.nodes):
        return []
    pod = LoadedPod(spec, (), checked.descriptors, checked.secrets)
    return [pod.explained(problem) for problem in allocate(spec, scheme).problems]
