"""What declares one option of a POD: how it is given, saved, filled in and shown, and where a value came from."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from iecpod.outside_json import Json


class Source(str, enum.Enum):
    """Where the value of an option comes from; the first of these that has one."""

    GIVEN = "given"
    SAVED = "saved"
    LAB = "lab's default"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOption:
    """How the command line takes an option.

    `flags` are as click reads them: the last one names the parameter, and with it the variable IECPOD_VERB_NAME.
    `parse` makes the value of the text, and raises `ValueError` with a sentence for people; None leaves the option
    open. The text is one of `choices`, a whole number in `bounds` or a path (`is_path`), where that is said. `default`
    is what help shows in the place of an option that is left out. `kind` and `metavar` are help's words for the value.
    """

    flags: tuple[str, ...]
    help: str
    parse: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    is_path: bool = False
    default: str | None = None
    kind: str = "text"
    metavar: str | None = None
    variable: str | None = None

    @property
    def name(self) -> str:
        """Of the parameter."""
        return self.flags[-1].partition("/")[0].lstrip("-").replace("-", "_")

    @property
    def flag(self) -> str:
        """The long one, as messages name it."""
        return next(flag for flag in self.flags if flag.startswith("--"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One row of the table of options, `PodOptions`.

    `read` takes a value from the note of a POD, and raises `ValueError` for what is none; `command` is None for what is
    not given as one option. A POD that is deployed cannot change an option with `fixed` words, which follow `was
    deployed`. `label` is how `plan` and `status` name the option, empty where they leave it out; `unit` follows the
    value there. `makes_machines` is about machines that a provider makes. `join` puts a given value together with the
    one before, whose place it else takes; `of_other_release` is what stays of a value where the release changes.
    """

    read: Callable[[Json], Any]
    default: Any = None
    fixed: str = ""
    label: str = ""
    unit: str = ""
    makes_machines: bool = False
    command: CommandOption | None = None
    join: Callable[[Any, Any], Any] | None = None
    of_other_release: Callable[[Any], Any] | None = None

    def shown(self, value: object) -> str:
        """The value in a sentence."""
        if isinstance(value, tuple):
            return f"`{'; '.join(map(str, value))}`" if value else "none"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value.value if isinstance(value, enum.Enum) else value} {self.unit}".rstrip()


def declare(read: Callable[[Json], Any], **row: Any) -> Any:
    """A field of `PodOptions`, left open unless it is given, with the row of the table that it is."""
    return field(default=None, metadata={"option": Option(read=read, **row)})


def forget(_value: object) -> None:
    """For values that belong to one release."""
    return
