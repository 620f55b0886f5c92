"""A lab of small PODs, cut from local/virtual1, for tests that need machines of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from iecpod.release.file import load_release
from iecpod.release.release import Release

ROOT = Path(__file__).parents[2]
LAB = "small"
#: PODs of it.
PAIR, SINGLE, TRIO = "virtual1", "virtual2", "virtual3"
_MACHINES = {PAIR: 2, SINGLE: 1, TRIO: 3}


def write_descriptors(directory: Path) -> None:
    """What `-b file://DIRECTORY` takes."""
    labs = directory / "labs" / LAB
    labs.mkdir(parents=True)
    for pod, machines in _MACHINES.items():
        pdf, idf = (load_yaml(ROOT / f"pdf/labs/local/{name}.yaml") for name in ("virtual1", "idf-virtual1"))
        pdf["nodes"] = pdf["nodes"][:machines]
        nodes = idf["idf"]["fuel"]["network"]["node"]
        idf["idf"]["fuel"]["network"]["node"] = nodes[:machines]
        (labs / f"{pod}.yaml").write_text(yaml.safe_dump(pdf))
        (labs / f"idf-{pod}.yaml").write_text(yaml.safe_dump(idf))


def load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def load_shipped(name: str) -> Release:
    return load_release(name, ROOT / "iecpod/releases", ROOT / "schemas")
