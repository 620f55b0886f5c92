"""The command line as tests run it: in this process, on directories of their own."""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner, Result

import iecpod
from iecpod.cli.main import cli
from iecpod.cli.options.shared import Invocation
from iecpod.layout import Layout, find_layout
from iecpod.yaml.document import dump_yaml
from tests import pods
from tests.unit.descriptors.broken_pod import Edits, break_document, sound_text


def layout_below(directory: Path) -> Layout:
    environ = {f"IECPOD_{name}_DIR": str(directory / name.lower()) for name in ("STATE", "CACHE", "RUNTIME")}
    return find_layout(environ, package_dir=Path(iecpod.__file__).parent, is_root=True)


def install(directory: Path) -> None:
    """Makes the state directory the one that objects of `pods` were deployed from."""
    state_dir = layout_below(directory).state_dir
    state_dir.mkdir(exist_ok=True)
    (state_dir / "installation").write_text(pods.INSTALLATION + "\n")


def run(directory: Path, *arguments: str, env: dict[str, str] | None = None) -> Result:
    """In `directory`, so that paths of files in the output are short and always the same."""
    invocation = Invocation(layout_below(directory), environ={}, is_terminal=False)
    before = Path.cwd()
    os.chdir(directory)
    try:
        return CliRunner().invoke(cli, arguments, obj=invocation, env=env)
    finally:
        os.chdir(before)


def write_pod(directory: Path, lab: str, pod: str, pdf: Edits | None = None, idf: Edits | None = None) -> None:
    """The sound POD, broken in places, below `directory`/labs."""
    target = directory / "labs" / lab
    target.mkdir(parents=True, exist_ok=True)
    for name, source, edits in ((f"{pod}.yaml", "virtual.yaml", pdf), (f"idf-{pod}.yaml", "idf-virtual.yaml", idf)):
        text = dump_yaml(break_document(source, edits).data) if edits else sound_text(source)
        (target / name).write_text(text)
