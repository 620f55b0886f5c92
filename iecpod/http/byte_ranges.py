"""Parts of a body, for downloads that are resumed (RFC 9110, sections 13.1.5 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MOST_VALIDATOR_CHARACTERS = 200
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:\d{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked for of a body: all from `first_byte` on, while the body is the one that `validator` names."""

    first_byte: int = 0
    validator: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Range": f"bytes={self.first_byte}-", "If-Range": self.validator} if self.first_byte else {}

    def is_what(self, content_range: str) -> bool:
        """Whether an answer with this Content-Range begins where it should."""
        found = _CONTENT_RANGE.fullmatch(content_range)
        return bool(self.first_byte) and found is not None and int(found[1]) == self.first_byte


WHOLE = Part()


def find_validator(headers: Mapping[str, str]) -> str:
    """What names this version of a body in If-Range; empty where nothing does. A weak entity tag must not."""
    tag = headers.get("ETag", "")
    found = tag if tag.startswith('"') else headers.get("Last-Modified", "")
    return found if len(found) <= _MOST_VALIDATOR_CHARACTERS and found.isprintable() else ""
