"""Options of several layers as one value, and what of them a POD that is deployed cannot change."""

from __future__ import annotations

from typing import Any

from iecpod.options.option import Source
from iecpod.options.option_table import OPTIONS, PodOptions


def overlay(*layers: tuple[Source, PodOptions]) -> PodOptions:
    """Of each option the value of the first layer that has one; an empty text, as of a job's variable, is none."""
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for source, layer in reversed(layers):
        for name, option in OPTIONS.items():
            value = getattr(layer, name)
            if value is None or value == "":
                continue
            values[name] = option.join(values[name], value) if option.join and name in values else value
            sources[name] = source
    return PodOptions(**values, sources=sources)


def fixed_differences(known: PodOptions, wanted: PodOptions) -> tuple[str, ...]:
    """What a POD that lives cannot become, as words that follow `was deployed`."""
    return tuple(
        f"{option.fixed} {option.shown(getattr(known, name))}, not {option.shown(getattr(wanted, name))}"
        for name, option in OPTIONS.items()
        if option.fixed and getattr(known, name) not in (None, getattr(wanted, name))
    )
