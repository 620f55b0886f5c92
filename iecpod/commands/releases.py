"""`iecpod releases`: which software there is, what exactly one holds, and how two differ."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.errors import Problem
from iecpod.images.build.go.modules import module_version
from iecpod.model import Arch
from iecpod.release.file import known_releases, load_release, read_release, select_variant
from iecpod.release.release import Release
from iecpod.release.support import check_support
from iecpod.reports.table import format_table
from iecpod.yaml.document import dump_yaml

_ABSENT = "-"


@dataclass(frozen=True, slots=True)
class ReleaseBook:
    """Where release files and their schema are."""

    releases_dir: Path
    schemas_dir: Path

    def list_text(self) -> str:
        rows = [
            (
                facts["name"],
                facts["kubernetes"],
                facts["runtime"],
                ", ".join(facts["cnis"]),
                facts["helm"] or _ABSENT,
                ", ".join(facts["base_os"]),
                ", ".join(facts["architectures"]),
                facts["packages"],
                facts["supported_until"] or _ABSENT,
                facts["description"],
            )
            for facts in self._facts()
        ]
        header = ("RELEASE", "KUBERNETES", "RUNTIME", "CNI", "HELM", "OS", "ARCH", "PACKAGES FROM", "SUPPORTED UNTIL")
        return format_table((*header, "DESCRIPTION"), rows)

    def list_json(self) -> str:
        return json.dumps(list(self._facts()), indent=2)

    def check_support(self, today: datetime.date) -> tuple[Problem, ...]:
        """A warning for each release that upstream no longer supports."""
        return tuple(
            problem
            for name in known_releases(self.releases_dir)
            for problem in check_support(load_release(name, self.releases_dir, self.schemas_dir), today)
        )

    def show(self, name: str, base_os: str | None) -> str:
        """The release as YAML that can be given to `--release`; with `base_os`, as it is on that operating system."""
        data = self._read(name)
        return dump_yaml(data if base_os is None else select_variant(data, base_os))

    def diff(self, one: str, other: str) -> str:
        """What either says and the other does not, as lines `-PATH: VALUE` and `+PATH: VALUE`; empty where equal."""
        ours, theirs = tuple(_flatten(self._read(one))), tuple(_flatten(self._read(other)))
        lines = [
            f"{sign}{path}: {value}"
            for path in dict.fromkeys(path for path, _ in (*ours, *theirs))
            for sign, said, not_said in (("-", ours, theirs), ("+", theirs, ours))
            for entry, value in said
            if entry == path and (entry, value) not in not_said
        ]
        return "\n".join([f"--- {one}", f"+++ {other}", *lines]) if lines else ""

    def _read(self, name: str) -> dict[str, Any]:
        return read_release(name, self.releases_dir, self.schemas_dir)

    def _facts(self) -> Iterator[dict[str, Any]]:
        for name in known_releases(self.releases_dir):
            release = load_release(name, self.releases_dir, self.schemas_dir)
            yield {
                "name": name,
                "description": release.description,
                "kubernetes": release.kubernetes_version,
                "runtime": release.runtime,
                "cnis": list(release.cnis),
                "helm": _helm_version(release),
                "base_os": [release.base_os, *self._read(name).get("variants", {})],
                "architectures": [arch.value for arch in _architectures(release)],
                "packages": _origin(release),
                "supported_until": str(release.supported_until or ""),
            }


def _helm_version(release: Release) -> str:
    """Of the archive that is fetched, or of the module that is compiled; empty where the release has neither."""
    if release.helm is not None:
        return release.helm.version
    modules = release.go.modules if release.go is not None else ()
    return next((module_version(module) for module in modules if module.name == "helm"), "")


def _architectures(release: Release) -> list[Arch]:
    """Those it has an image for; an image made of packages can be of any."""
    return [arch for arch in Arch if arch in release.image.location or not release.image.location]


def _origin(release: Release) -> str:
    if release.bundle is not None:
        return "bundle"
    return "mirror" if any(repository.withdrawn for repository in release.repositories) else "internet"


def _flatten(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted paths and texts. What has a name goes by it, whatever its place in a list; other entries share a path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and all(isinstance(entry, dict) and "name" in entry for entry in value):
        for entry in value:
            yield from _flatten(
                {key: inner for key, inner in entry.items() if key != "name"}, f"{path}[{entry['name']}]"
            )
    elif isinstance(value, list):
        yield from ((f"{path}[]", str(entry)) for entry in value)
    else:
        yield path, str(value).lower() if isinstance(value, bool) else str(value)
