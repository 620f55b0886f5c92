"""What is set in the environment of containers of a manifest, by a release or by a file (--manifest-patch)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from iecpod.descriptors.schema import check_schema
from iecpod.errors import DescriptorError, Problem, UsageError
from iecpod.files.reader import read_regular
from iecpod.outside_json import Json
from iecpod.yaml.builder import MAX_BYTES
from iecpod.yaml.document import Document, load_yaml

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class ContainerEnvironment:
    """Variables by name, of the container (or init container) `container` of the workload `kind` `name`."""

    kind: str
    name: str
    container: str
    variables: Mapping[str, str]

    def __post_init__(self) -> None:
        if not all(map(_VARIABLE.fullmatch, self.variables)):
            raise ValueError("variables have names of letters, digits and _")

    def __str__(self) -> str:
        variables = ", ".join(f"{name}={value}" for name, value in self.variables.items())
        return f"{self.kind} {self.name}, container {self.container}: {variables}"


def parse_environments(entries: Iterable[Mapping[str, Any]]) -> tuple[ContainerEnvironment, ...]:
    """`entries` fit the schema."""
    return tuple(
        ContainerEnvironment(entry["kind"], entry["name"], entry["container"], dict(entry["environment"]))
        for entry in entries
    )


def read_environments(found: Json) -> tuple[ContainerEnvironment, ...]:
    """Of the note of a POD. Raises what `found` refuses with, and `ValueError`."""
    return tuple(
        ContainerEnvironment(
            entry.text("kind"),
            entry.text("name"),
            entry.text("container"),
            {name: value.as_text() for name, value in entry.at("variables").members().items()},
        )
        for entry in found.as_entries()
    )


def read_manifest_patch(path: Path, schemas_dir: Path) -> tuple[ContainerEnvironment, ...]:
    """Raises `UsageError` where the file cannot be read, `DescriptorError` with every problem that it has."""
    try:
        content = read_regular(path, MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"--manifest-patch {path}: {error.strerror}", "give a file that can be read") from error
    document = load_yaml(content, str(path))
    problems = check_schema(document, "manifest-patch", schemas_dir) or find_repeated(document, ("containers",))
    if problems:
        raise DescriptorError(problems, f"{path} is not a valid patch of a manifest")
    return parse_environments(cast(dict[str, Any], document.data)["containers"])


def find_repeated(document: Document, place: tuple[str, ...]) -> list[Problem]:
    """Containers that are named in two entries of the list at `place`."""
    value: Any = document.data
    for key in place:
        value = value.get(key, {})
    seen = set[tuple[str, str, str]]()
    problems = []
    for index, entry in enumerate(value):
        container = (entry["kind"], entry["name"], entry["container"])
        if container in seen:
            message = f"an entry above is of container {entry['container']} of {entry['kind']} {entry['name']}, too"
            problems.append(
                document.problem((*place, index), message, "write its variables there", rule="container-repeated")
            )
        seen.add(container)
    return problems
