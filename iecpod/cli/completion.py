"""What a shell proposes for a value: names that are found on disk at once; nothing where that would take a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from iecpod.layout import Layout
from iecpod.printable import printable_line

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _completing(names: Callable[[click.Context, Layout], Iterable[str]]) -> Complete:
    """Of the names, those that begin with what was typed; errors are for the command to report, not for the shell.

    A name that a terminal would act on is not proposed.
    """

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        found = names(context, context.find_root().obj.layout)
        return [name for name in found if name.startswith(incomplete) and printable_line(name) == name]

    return complete


def _base(context: click.Context, layout: Layout) -> Path | None:
    from iecpod.descriptors.pod_files import local_base
    from iecpod.errors import UsageError

    try:
        return local_base(context.params.get("base_uri") or str(layout.pdf_dir))
    except UsageError:
        return None


def _labs(context: click.Context, layout: Layout) -> Iterable[str]:
    from iecpod.descriptors.lab_tree import find_labs

    base = _base(context, layout)
    return [] if base is None else find_labs(base)


def _pods(context: click.Context, layout: Layout) -> Iterable[str]:
    """Of the lab that was named, else of all."""
    from iecpod.descriptors.lab_tree import find_labs, find_pods

    base, lab = _base(context, layout), context.params.get("lab")
    if base is None:
        return []
    return sorted({pod for one in ([lab] if lab else find_labs(base)) for pod in find_pods(base, one)})


def _rules(_context: click.Context, _layout: Layout) -> Iterable[str]:
    from iecpod.commands.rules import demotable_rules

    return sorted(demotable_rules())


def _releases(_context: click.Context, layout: Layout) -> Iterable[str]:
    from iecpod.release.file import known_releases

    return known_releases(layout.releases_dir)


def _scenarios(_context: click.Context, layout: Layout) -> Iterable[str]:
    from iecpod.release.scenario import load_scenarios

    scenarios = load_scenarios(layout.scenarios_dir, layout.schemas_dir)
    return sorted(name for scenario in scenarios for name in (scenario.name, *scenario.aliases))


complete_lab = _completing(_labs)
complete_pod = _completing(_pods)
complete_rule = _completing(_rules)
_complete_shipped_release = _completing(_releases)


def complete_release(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names first; what begins like a path, and what no name begins with, is a file for the shell to find."""
    is_path = incomplete.startswith((".", "/", "~"))
    names = [] if is_path else _complete_shipped_release(context, parameter, incomplete)
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


complete_scenario = _completing(_scenarios)
