"""Kubernetes manifests changed as YAML: a change whose place is not there is a problem, never a no-op."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iecpod.errors import Problem
from iecpod.yaml_document import dump_yaml_all, load_yaml_all


@dataclass(frozen=True, slots=True)
class ManifestText:
    """A manifest as it was fetched; `file` is where it is from."""

    file: str
    content: bytes


@dataclass(frozen=True, slots=True)
class PatchedManifest:
    """The manifest as it is to be applied, and one line for people for each thing changed."""

    text: str
    changes: tuple[str, ...]


@dataclass(slots=True)
class ManifestPatch:
    """The objects of some manifests, what has been changed in them, and what could not be."""

    file: str
    objects: list[dict[str, Any]]
    changes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, manifests: Sequence[ManifestText]) -> ManifestPatch:
        """All objects, in order. Raises `DescriptorError` for what is no YAML."""
        documents = [document for text in manifests for document in load_yaml_all(text.content, text.file)]
        objects = [document.data for document in documents if isinstance(document.data, dict)]
        return cls(", ".join(text.file for text in manifests), objects)

    def result(self) -> PatchedManifest:
        return PatchedManifest(dump_yaml_all(self.objects), tuple(self.changes))

    def miss(self, what: str) -> None:
        """Notes that there is no `what`."""
        self.problems.append(
            Problem(
                file=self.file,
                message=f"the manifest has no {what}",
                remedy="pin a calico.yaml of projectcalico/calico; the operator's manifests are something else",
                rule="calico-manifest",
            )
        )

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """The object of that kind and name; where there is none, that is a problem."""
        for found in self.objects:
            if found.get("kind") == kind and found.get("metadata", {}).get("name") == name:
                return found
        self.miss(f"{kind} `{name}`")
        return None

    def set_key(self, place: str, mapping: dict[str, Any], key: str, value: str) -> None:
        """Sets what is there already; where it is not, that is a problem."""
        if key not in mapping:
            self.miss(f"`{key}` in {place}")
        elif mapping[key] != value:
            self.changes.append(f"{place}: {key}: {mapping[key]} -> {value}")
            mapping[key] = value

    def set_environment(self, place: str, container: dict[str, Any], name: str, value: str, *, add: bool) -> None:
        """Sets a variable; one that is not there is added, or with `add` false a problem."""
        variables = container.setdefault("env", [])
        for variable in variables:
            if variable["name"] == name:
                before = variable.get("value", "(from elsewhere)")
                if before != value:
                    self.changes.append(f"{place}: {name}: {before} -> {value}")
                    variable.pop("valueFrom", None)
                    variable["value"] = value
                return
        if add:
            variables.append({"name": name, "value": value})
            self.changes.append(f"{place}: {name}: (unset) -> {value}")
        else:
            self.miss(f"variable `{name}` in {place}")

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every container of every workload, init containers too, each with the words for its place."""
        for found in self.objects:
            pod = found.get("spec", {}).get("template", {}).get("spec", {})
            for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
                yield f"{found['kind']} {found['metadata']['name']}, container {container['name']}", container


def image_names(manifests: Sequence[ManifestText], replacements: Mapping[str, str]) -> tuple[str, ...]:
    """The images of all containers, each once; `replacements` are of their beginnings."""
    names = []
    for _, container in ManifestPatch.of(manifests).containers():
        name = str(container["image"])
        for old, new in replacements.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        names.append(name)
    return tuple(dict.fromkeys(names))
