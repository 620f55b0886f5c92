"""The options of a POD from all that have a say in them: the command line, saved options, its lab, and the defaults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iecpod.errors import UsageError
from iecpod.files.reader import is_there
from iecpod.layout import Layout
from iecpod.options.option import Source
from iecpod.options.option_layers import overlay
from iecpod.options.option_table import DEFAULTS, OPTIONS, PodOptions
from iecpod.pods.request import PodRequest, lab_defaults
from iecpod.release.file import names_file


def choose_options(request: PodRequest, layout: Layout, saved: PodOptions) -> PodOptions:
    """Of each option the value that was given, else that of the POD's deploy, else the default of its lab, or of all.

    Another release forgets what belongs to the one before. `--release` goes back to its sources, without a bundle.
    """
    given = replace(
        request.options,
        base_uri=_lasting(request.options.base_uri),
        release=_lasting_release(request.options.release),
    )
    known = saved if (given.release or saved.release) == saved.release else saved.of_other_release()
    if given.release:
        known = replace(known, bundle=None, bundle_digest=None)
    lab = lab_defaults(request.ref.lab)
    software = request.software or lab.in_order_for(given.release or known.release)[0]
    chosen = overlay(
        (Source.GIVEN, given),
        (Source.SAVED, known),
        (lab.source, lab.with_software(software)),
        (Source.DEFAULT, replace(DEFAULTS, base_uri=str(layout.pdf_dir))),
    )
    if not chosen.makes_machines:
        return chosen.changed(Source.DEFAULT, uri=None, addressing="stated")
    return replace(chosen, user=None)


def check_existing(request: PodRequest) -> None:
    """Options that say how machines are made mean nothing for those that are there. Raises `UsageError`."""
    for name, option in OPTIONS.items():
        if option.makes_machines and option.command and getattr(request.options, name) is not None:
            raise UsageError(
                f"{option.command.flag} is for machines that iecpod makes, and those of POD {request.ref} are there "
                "already",
                "leave it out",
            )


def _lasting_release(name_or_path: str | None) -> str | None:
    return _lasting(name_or_path) if name_or_path and names_file(name_or_path) else name_or_path


def _lasting(name_or_path: str | None) -> str | None:
    """A path that exists becomes one that holds wherever a later command is called; names and URIs stay."""
    if name_or_path is None or not is_there(Path(name_or_path)):
        return name_or_path
    return str(Path.cwd() / name_or_path)
