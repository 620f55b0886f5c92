"""The sound POD of tests/unit/data/pod, broken in chosen places."""

from __future__ import annotations

import copy
import enum
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iecpod.descriptors.pod_files import Descriptors
from iecpod.yaml.document import Document, dump_yaml, load_yaml, split_path

ROOT = Path(__file__).parents[3]
SCHEMAS_DIR = ROOT / "schemas"
DATA_DIR = Path(__file__).parents[1] / "data" / "pod"


class _Removed(enum.Enum):
    """Its name is the same in every process, and so are the names of tests that hold it."""

    REMOVED = "removed"


REMOVED = _Removed.REMOVED
Edits = Mapping[str, object]


def sound_text(name: str) -> str:
    return (DATA_DIR / name).read_text()


def break_pod(pdf: Edits | None = None, idf: Edits | None = None) -> Descriptors:
    """Edits are `{"nodes[1].name": "node-1"}`; `REMOVED` takes a key or an item away."""
    return Descriptors(break_document("virtual.yaml", pdf or {}), break_document("idf-virtual.yaml", idf or {}))


def break_document(name: str, edits: Edits) -> Document:
    # Through JSON, so that what aliases share is edited in one place only.
    data = json.loads(json.dumps(load_yaml(sound_text(name), name).data))
    for path, value in edits.items():
        data = edited(data, split_path(path), value if value is REMOVED else copy.deepcopy(value))
    return load_yaml(dump_yaml(data), name)


def line_at(document: Document, line: int | None) -> str:
    """The source line of a problem, as `dump_yaml` writes it."""
    return dump_yaml(document.data).splitlines()[(line or 1) - 1].strip()


def edited(data: Any, path: Sequence[str | int], value: object) -> Any:
    """`data`, changed in one place."""
    if not path:
        return value
    parent = data
    for part in path[:-1]:
        parent = parent[part]
    if value is REMOVED:
        del parent[path[-1]]
    elif isinstance(parent, list) and path[-1] == len(parent):
        parent.append(value)
    else:
        parent[path[-1]] = value
    return data
