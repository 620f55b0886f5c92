"""A private apt: its own sources, lists and cache, so that suites the host does not have can be read.

The host's apt settings (proxies) apply; its sources and its installed packages do not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iecpod.errors import ImageError
from iecpod.images.confinement.tool import read_tool, run_tool

#: In the one-line style, a space ends a word, brackets hold options, and `#` begins a comment.
_WORD = re.compile(r"[^\s\[\]#\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSuite:
    """An archive to read from. `keyring` is the file of the keys that sign it, on this host."""

    mirror: str
    suites: tuple[str, ...]
    keyring: str
    components: tuple[str, ...] = ("main",)

    def __post_init__(self) -> None:
        """Raises `ImageError` for what would not be one word of a line of apt's sources."""
        for word in (self.mirror, *self.suites, *self.components, self.keyring):
            if _WORD.fullmatch(word) is None:
                raise ImageError(
                    f"{word!r} cannot stand in apt's list of sources: there is a space, a bracket or the like in it",
                    "correct the release or --apt-mirror; where it is a path of the cache, keep that elsewhere (-S)",
                )

    def source_lines(self, *types: str) -> str:
        """One-line-style sources, e.g. of types `deb` and `deb-src`."""
        components = " ".join(self.components)
        return "".join(
            f"{type_} [signed-by={self.keyring}] {self.mirror} {suite} {components}\n"
            for suite in self.suites
            for type_ in types
        )


@dataclass(frozen=True, slots=True)
class AptRoot:
    """apt with all its state below `directory`, for packages of `arch` (Debian's word)."""

    directory: Path
    arch: str
    log_path: Path

    def prepare(self, archives: Sequence[AptSuite], *types: str, dpkg_status: bytes = b"") -> None:
        """Writes the sources and fetches the lists. `dpkg_status` says what counts as installed already."""
        for archive in archives:
            check_keyring(archive.keyring)
        for name in ("lists/partial", "cache/archives/partial", "state"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "state/status").write_bytes(dpkg_status)
        (self.directory / "sources.list").write_text("".join(archive.source_lines(*types) for archive in archives))
        self._run("update", purpose=f"reading the package lists of {archives[0].mirror}")

    def download_source(self, package: str, directory: Path) -> None:
        """The files of the newest source package, verified by apt."""
        self._run("source", "--download-only", "--", package, directory=directory, purpose=f"fetching source {package}")

    def download(self, packages: Sequence[str], directory: Path) -> None:
        """The named packages only, verified by apt."""
        self._run("download", "--", *packages, directory=directory, purpose=f"fetching {' '.join(packages)}")

    def download_missing(self, packages: Sequence[str]) -> tuple[Path, ...]:
        """The packages and what they need beyond `dpkg_status`, without recommendations."""
        self._run(
            "install", "--download-only", "--no-install-recommends", "--yes", "--", *packages,
            purpose=f"fetching {' '.join(packages)}",
        )  # fmt: skip
        return tuple(sorted((self.directory / "cache/archives").glob("*.deb")))

    def _run(self, *arguments: str, purpose: str, directory: Path | None = None) -> None:
        options = {
            "APT::Architecture": self.arch,
            "APT::Architectures": self.arch,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Dir::Cache": f"{self.directory}/cache",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::sourcelist": f"{self.directory}/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": f"{self.directory}/state",
            "Dir::State::lists": f"{self.directory}/lists",
            "Dir::State::status": f"{self.directory}/state/status",
        }
        argv = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in options.items()), *arguments]
        run_tool(argv, purpose=purpose, log_path=self.log_path, directory=directory, network=True)


def check_keyring(keyring: str) -> None:
    """Raises `ImageError` when the keys that sign an archive are not on this host."""
    if not Path(keyring).is_file():
        raise ImageError(
            f"the key ring {keyring} is not there, so packages cannot be verified",
            f"install the package {Path(keyring).stem}, or copy the file from a system of that distribution",
        )


def host_debian_arch() -> str:
    return read_tool(["dpkg", "--print-architecture"], purpose="asking for the architecture of this host").strip()
