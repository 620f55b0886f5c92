"""Options of a POD on the command line: each is a row of the table in `options/option_table.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from iecpod.cli.completion import complete_release, complete_scenario
from iecpod.options.option import CommandOption
from iecpod.options.option_table import OPTIONS, PodOptions

F = TypeVar("F", bound=Callable[..., Any])

_COMPLETIONS = {"scenario": complete_scenario, "release": complete_release}


class _Parsed(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.4 on
    """A text that the table parses."""

    def __init__(self, option: CommandOption) -> None:
        self.name = option.kind
        self._parse = option.parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Chosen(click.Choice):  # type: ignore[type-arg, unused-ignore]
    """One of the choices, as the value that it stands for."""

    def __init__(self, option: CommandOption) -> None:
        super().__init__(option.choices)
        self._parse = option.parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self._parse(super().convert(value, param, ctx))


def table_option(name: str, help_text: str = "") -> Callable[[F], F]:
    """The option of that name, with a help text of its own for verbs that mean something else by it."""
    option = OPTIONS[name].command
    assert option is not None, f"{name} is not given as one option"
    if help_text:
        option = dataclasses.replace(option, help=help_text)
    return _click_option(name, option)


def _click_option(name: str, option: CommandOption) -> Callable[[F], F]:
    shown: dict[str, Any] = {}
    if option.default is not None:
        shown |= {"default": option.default, "show_default": True}
    if option.variable is not None:
        shown |= {"envvar": option.variable, "show_envvar": True}
    if "/" in option.flags[-1]:
        shown |= {"default": None}  # a flag that may be left open
    else:
        shown |= {"type": _type_of(option), "metavar": option.metavar}
    return click.option(*option.flags, help=option.help, shell_complete=_COMPLETIONS.get(name), **shown)


def _type_of(option: CommandOption) -> click.ParamType | type[str]:  # type: ignore[type-arg, unused-ignore]
    if option.choices:
        return _Chosen(option)
    if option.bounds:
        return click.IntRange(*option.bounds)
    if option.is_path:
        return click.Path(path_type=Path)
    return str if option.parse is str else _Parsed(option)


def with_options(function: F, options: Sequence[Callable[[F], F]]) -> F:
    """In the order in which help shows them."""
    for option in reversed(options):
        function = option(function)
    return function


def given_options(parameters: Mapping[str, Any], **others: Any) -> PodOptions:
    """What was given of the table's options; `others` are values that are not given as one option."""
    given: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        if option.command is not None:
            value = parameters.get(option.command.name)
            given[name] = option.command.parse(str(value)) if isinstance(value, Path) else value
    return PodOptions(**given, **others)
