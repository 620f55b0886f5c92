"""Kubernetes manifests changed as YAML: a change whose place is not there is a problem, never a no-op."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.errors import DescriptorError, Problem
from iecpod.release.container_environment import ContainerEnvironment
from iecpod.release.image_reference import digest_of, full_reference, without_digest
from iecpod.yaml.document import dump_yaml_all, load_yaml_all


@dataclass(slots=True)
class ManifestPatch:
    """The objects of some manifests, what has been changed in them, and what could not be.

    Problems are of `rule`, and `remedy` says which manifests have what is asked for.
    """

    file: str
    objects: list[dict[str, Any]]
    rule: str
    remedy: str
    changes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    #: By container (its identity): what is set for this POD, and only here.
    own_variables: set[tuple[int, str]] = field(default_factory=set)

    @classmethod
    def of(cls, manifests: Sequence[ManifestText], *, rule: str = "", remedy: str = "") -> ManifestPatch:
        """All objects, in order. Raises `DescriptorError` for what is no YAML."""
        documents = [document for text in manifests for document in load_yaml_all(text.content, text.file)]
        objects = [document.data for document in documents if isinstance(document.data, dict)]
        return cls(", ".join(text.file for text in manifests), objects, rule, remedy)

    def result(
        self, refusal: str, *, custom_resources: str = "", custom_kinds: tuple[str, ...] = ()
    ) -> PatchedManifest:
        """Raises `DescriptorError`, whose cause is `refusal`, with everything that the manifests lack."""
        if self.problems:
            raise DescriptorError(self.problems, refusal)
        text = dump_yaml_all(self.objects)
        return PatchedManifest(text, tuple(self.changes), custom_resources, custom_kinds, self.images())

    def miss(self, what: str) -> None:
        """Notes that there is no `what`."""
        self.problems.append(
            Problem(
                file=self.file,
                message=f"the manifest has no {what}",
                remedy=self.remedy,
                rule=self.rule,
            )
        )

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """The object of that kind and name; where there is none, that is a problem."""
        for found in self.objects:
            if found.get("kind") == kind and mapping_in(found, "metadata").get("name") == name:
                return found
        self.miss(f"{kind} `{name}`")
        return None

    def set_key(self, place: str, mapping: dict[str, Any], key: str, value: object, *, add: bool = False) -> None:
        """Sets what is there already; what is not is added, or with `add` false a problem."""
        if key not in mapping and not add:
            self.miss(f"`{key}` in {place}")
        elif key not in mapping or mapping[key] != value:
            self.changes.append(f"{place}: {key}: {mapping.get(key, '(unset)')} -> {value}")
            mapping[key] = value

    def set_environment(self, place: str, container: dict[str, Any], name: str, value: str, *, add: bool) -> None:
        """Sets a variable; one that is not there is added, or with `add` false a problem."""
        self.own_variables.add((id(container), name))
        variables = container["env"] = mappings_in(container, "env")
        for variable in variables:
            if variable.get("name") == name:
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

    def set_reference(self, place: str, container: dict[str, Any], name: str, field_path: str) -> None:
        """Has a variable hold what the API server knows of the pod, which differs by node."""
        self.own_variables.add((id(container), name))
        wanted = {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field_path}}}
        variables = mappings_in(container, "env")
        if wanted not in variables:
            named = [entry for entry in variables if entry.get("name") == name]
            before = named[0].get("value", "(from elsewhere)") if named else "(unset)"
            container["env"] = [*(entry for entry in variables if entry not in named), wanted]
            self.changes.append(f"{place}: {name}: {before} -> {field_path}")

    def set_environments(self, environments: Iterable[ContainerEnvironment]) -> None:
        """What a release or a patch file asks for; a place that is not there is a problem, which names those that are.

        So is a variable that is set for this POD already.
        """
        for wanted in environments:
            found = [
                (place, container)
                for place, container in self.containers()
                if place == _container_place(wanted.kind, wanted.name, wanted.container)
            ]
            if not found:
                self._refuse_environment(
                    f"the manifest has no container {wanted.container} in {wanted.kind} {wanted.name}",
                    f"it has {'; '.join(place for place, _ in self.containers()) or 'none'}",
                )
            for (place, container), (name, value) in itertools.product(found, wanted.variables.items()):
                self._set_wanted(place, container, name, value)

    def _set_wanted(self, place: str, container: dict[str, Any], name: str, value: str) -> None:
        if (id(container), name) in self.own_variables:
            self._refuse_environment(
                f"{place}: {name} is set by iecpod for this POD", "leave it out; options and the descriptors decide it"
            )
        else:
            self.set_environment(place, container, name, value, add=True)
            self.own_variables.discard((id(container), name))  # the next who asks for it may change it

    def _refuse_environment(self, message: str, remedy: str) -> None:
        self.problems.append(Problem(file=self.file, message=message, remedy=remedy, rule="manifest-patch"))

    def add_variables(self, variables: Mapping[str, str]) -> None:
        """In every container that has none of that name."""
        for place, container in self.containers():
            present = {variable.get("name") for variable in mappings_in(container, "env")}
            for name, value in variables.items():
                if name not in present:
                    self._set_wanted(place, container, name, value)

    def raise_probes(self, least: Mapping[str, Mapping[str, int]]) -> None:
        """Gives probes at least those numbers, by kind and key; a container gets none that it does not have."""
        for place, container in self.containers():
            for kind, numbers in least.items():
                probe = mapping_in(container, kind)
                for key, number in numbers.items() if probe else ():
                    present = probe.get(key)
                    if not isinstance(present, int) or present < number:
                        self.set_key(f"{place}, {kind}", probe, key, number, add=True)

    def rename_images(self, names: Mapping[str, str]) -> None:
        """Replaces the beginnings of names of images; one that no image begins with is a problem."""
        for old, new in names.items():
            found = [
                (place, container)
                for place, container in self.containers()
                if str(container.get("image", "")).startswith(old)
            ]
            if not found:
                self.miss(f"image that begins with `{old}`")
            for place, container in found:
                self.set_key(place, container, "image", new + container["image"].removeprefix(old))

    def use_given_images(self) -> None:
        """For nodes that have their images from archives, which know them by tag alone, and that reach no registry."""
        for place, container in self.containers():
            image = str(container.get("image", ""))
            if digest_of(image):
                self.set_key(place, container, "image", without_digest(image))
            is_latest = full_reference(without_digest(image)).endswith(":latest")
            if container.get("imagePullPolicy", "Always" if is_latest else "") == "Always":
                self.set_key(place, container, "imagePullPolicy", "IfNotPresent", add=True)

    def images(self) -> tuple[str, ...]:
        """Of all containers, each once."""
        names = (str(container.get("image") or "") for _, container in self.containers())
        return tuple(dict.fromkeys(filter(None, names)))

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every container of every workload, init containers too, each with the words for its place."""
        for found in self.objects:
            name = mapping_in(found, "metadata").get("name")
            for container in containers_of(found):
                yield _container_place(found.get("kind"), name, container.get("name")), container


def _container_place(kind: object, name: object, container: object) -> str:
    return f"{kind} {name}, container {container}"


def containers_of(workload: dict[str, Any]) -> list[dict[str, Any]]:
    """Init containers first."""
    pod = mapping_in(workload, "spec", "template", "spec")
    return [*mappings_in(pod, "initContainers"), *mappings_in(pod, "containers")]


def mapping_in(value: Any, *keys: str) -> dict[str, Any]:
    """The mapping below `keys`; an empty one where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def mappings_in(mapping: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The mappings of the list that `mapping` has at `key`; none where there is no list."""
    values = mapping.get(key)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def image_names(manifests: Sequence[ManifestText], replacements: Mapping[str, str]) -> tuple[str, ...]:
    """The images of all containers, each once; `replacements` are of their beginnings."""
    names = []
    for name in ManifestPatch.of(manifests).images():
        for old, new in replacements.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        names.append(name)
    return tuple(dict.fromkeys(names))
