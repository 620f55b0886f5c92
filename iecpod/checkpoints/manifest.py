"""What a checkpoint says of itself: `manifest.json`, written last and read by type."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath

from iecpod.errors import UsageError
from iecpod.model import PodRef
from iecpod.outside_json import Bounds, Json, parse_json
from iecpod.sha256 import SHA256

#: A checkpoint of another one is not read: what it consists of may be another.
VERSION = 2

ID = re.compile(r"[0-9a-f]{12}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIME = re.compile(r"[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}Z")
_BOUNDS = Bounds(size_bytes=4 << 20, values=50_000)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file by its name in the directory that its kind has."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMachine:
    """`layers` are in the checkpoints' directory of layers, the topmost first; the last rests on the base image.

    `memory` is None for a machine that was off. `base_image` is the name of a file among the cache's images.
    """

    hostname: str
    memory: StoredFile | None
    nvram: StoredFile
    layers: tuple[StoredFile, ...]
    base_image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A POD at one instant.

    `name` is empty for what a deploy has made and verified; one with a name is the user's own state. `inputs` are
    digests of all that decides the POD, by name, and `memory_inputs` what must be equal to load the memory.
    `options` is the note of the POD's deploy, as JSON. `files` are those of the POD's directory.
    """

    id: str
    name: str
    ref: PodRef
    installation: str
    made_at: str
    inputs: Mapping[str, str]
    memory_inputs: Mapping[str, str]
    options: str
    software: str
    machines: tuple[CheckpointMachine, ...]
    files: tuple[StoredFile, ...]

    @property
    def has_memory(self) -> bool:
        return all(machine.memory is not None for machine in self.machines)

    @property
    def own_files(self) -> tuple[StoredFile, ...]:
        """All that is in its own directory, besides the manifest."""
        memories = (machine.memory for machine in self.machines if machine.memory is not None)
        return (*memories, *(machine.nvram for machine in self.machines), *self.files)

    @property
    def layers(self) -> tuple[StoredFile, ...]:
        """Each once."""
        return tuple(dict.fromkeys(layer for machine in self.machines for layer in machine.layers))

    def to_json(self) -> str:
        values = {"version": VERSION, **asdict(self), "lab": self.ref.lab, "pod": self.ref.pod}
        del values["ref"]
        return json.dumps(values, indent=1) + "\n"


def read_manifest(text: bytes) -> Checkpoint:
    """Raises `ValueError` for what `Checkpoint.to_json` has not written."""
    found = parse_json(text, ValueError, _BOUNDS)
    if found.integer("version") != VERSION:
        raise ValueError(f"it is of format {found.integer('version')}, and this version of iecpod reads {VERSION}")
    name = found.text("name")
    return Checkpoint(
        id=_matching(ID, found.text("id"), "id"),
        name=check_name(name) if name else "",
        ref=_ref(found),
        installation=found.text("installation"),
        made_at=_matching(_TIME, found.text("made_at"), "time"),
        inputs=_texts(found.at("inputs")),
        memory_inputs=_texts(found.at("memory_inputs")),
        options=found.text("options"),
        software=found.text("software"),
        machines=tuple(_machine(entry) for entry in found.at("machines").as_entries()),
        files=tuple(_file(entry) for entry in found.at("files").as_entries()),
    )


def check_name(name: str) -> str:
    """Raises `ValueError` for a name that no checkpoint has."""
    return _matching(_NAME, name, "name of a checkpoint")


def _machine(found: Json) -> CheckpointMachine:
    memory = found.get("memory")
    return CheckpointMachine(
        hostname=_matching(_NAME, found.text("hostname"), "host name"),
        memory=_file(memory) if memory is not None else None,
        nvram=_file(found.at("nvram")),
        layers=tuple(_file(entry) for entry in found.at("layers").as_entries()),
        base_image=_plain_name(found.text("base_image")),
    )


def _file(found: Json) -> StoredFile:
    sha256 = _matching(SHA256, found.text("sha256"), "digest")
    return StoredFile(_relative(found.text("name")), sha256, found.integer("size_bytes"))


def _ref(found: Json) -> PodRef:
    try:
        return PodRef(found.text("lab"), found.text("pod"))
    except UsageError as error:
        raise ValueError(error.cause) from error


def _texts(found: Json) -> dict[str, str]:
    return {name: value.as_text() for name, value in found.members().items()}


def _relative(name: str) -> str:
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"{name!r} leads out of the checkpoint")
    return name


def _plain_name(name: str) -> str:
    if len(PurePath(_relative(name)).parts) != 1:
        raise ValueError(f"{name!r} is not a name of a file")
    return name


def _matching(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no {what}")
    return text
