"""Keeps what was decrypted, and what is secret in command lines, out of everything that people or logs get to read."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from iecpod.errors import IecpodError, Problem

#: Stands in the place of every secret.
SHOWN = "(secret)"

#: Up to the last @, since passwords may hold one.
_SECRET_OF_URL = re.compile(r"(?<=://).+(?=@)|(?<=\?).+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Decrypted texts, none of which is ever shown."""

    texts: frozenset[str] = field(default=frozenset(), repr=False)

    def hide(self, text: str) -> str:
        """`text` with each secret that stands in it as a whole word replaced; letter case and MAC dashes aside."""
        variants = {variant for secret in self.texts for variant in (secret, secret.replace("-", ":")) if variant}
        if not variants:
            return text
        words = "|".join(re.escape(variant) for variant in sorted(variants, key=len, reverse=True))
        return re.sub(rf"(?<!\w)(?:{words})(?!\w)", SHOWN, text, flags=re.IGNORECASE)

    @contextmanager
    def kept_from_errors(self) -> Iterator[None]:
        """Errors pass, with secrets hidden."""
        try:
            yield
        except IecpodError as error:
            error.hide(self.hide)
            raise


def shown_command(argv: Sequence[str]) -> str:
    """A command line without what stands before the host of its URLs, and their queries: both may hold a password."""
    return shlex.join(_SECRET_OF_URL.sub(SHOWN, word) if "://" in word else word for word in argv)


def conceal(shown: list[Problem], decrypted: list[Problem], reasons: dict[str, str]) -> list[Problem]:
    """The problems of a decrypted document, none of which says more than its place and its rule's reason.

    `shown` are those of the same document still encrypted: what is among them cannot depend on a secret, and stays as
    it is. `reasons` has the reason of a rule, if there is one.
    """
    known = set(shown)
    return [problem if problem in known else _conceal_one(problem, reasons) for problem in decrypted]


def _conceal_one(problem: Problem, reasons: dict[str, str]) -> Problem:
    reason = reasons.get(problem.rule, "")
    return dataclasses.replace(
        problem,
        message="a value that was decrypted does not fit here" + (f": {reason}" if reason else ""),
        remedy="decrypt the file with eyaml to see the value, correct it, and encrypt it again",
    )
