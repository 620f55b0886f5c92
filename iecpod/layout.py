"""Where iecpod's data, state and caches are: one value, built once by `cli` and passed down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from iecpod.errors import HostError, UsageError
from iecpod.home import absolute_path

#: Directories of data that are beside the package in a checkout and under `share/iecpod` once installed.
DATA_DIRS = ("pdf", "schemas", "cloud-init")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Absolute paths. The data directories exist; state, cache and runtime directories are made by who needs them.

    `runtime_dir` holds sockets and locks and may vanish at a reboot.
    """

    pdf_dir: Path
    schemas_dir: Path
    cloud_init_dir: Path
    releases_dir: Path
    scenarios_dir: Path
    state_dir: Path
    cache_dir: Path
    runtime_dir: Path

    def stored_in(self, directory: Path | None) -> Layout:
        """With state and caches below `directory`, if one is given.

        Sockets and locks stay where every run of this host sees them.
        """
        if directory is None:
            return self
        base = absolute_path(directory, "-S")
        return replace(self, state_dir=base / "state", cache_dir=base / "cache")


def find_layout(environ: Mapping[str, str], *, package_dir: Path, is_root: bool) -> Layout:
    """The layout of the `iecpod` package installed at `package_dir`. Raises `HostError` where its data are missing.

    `IECPOD_STATE_DIR`, `IECPOD_CACHE_DIR` and `IECPOD_RUNTIME_DIR` of `environ` override the defaults: the system's
    directories for root, those of the XDG specification for everyone else.
    """
    data_dir = _find_data_dir(package_dir)
    defaults = _SYSTEM if is_root else _user_defaults(environ)
    return Layout(
        pdf_dir=data_dir / "pdf",
        schemas_dir=data_dir / "schemas",
        cloud_init_dir=data_dir / "cloud-init",
        releases_dir=package_dir / "releases",
        scenarios_dir=package_dir / "scenarios",
        state_dir=_directory(environ, "IECPOD_STATE_DIR", defaults),
        cache_dir=_directory(environ, "IECPOD_CACHE_DIR", defaults),
        runtime_dir=_directory(environ, "IECPOD_RUNTIME_DIR", defaults),
    )


def _find_data_dir(package_dir: Path) -> Path:
    candidates = tuple(_data_dir_candidates(package_dir))
    for candidate in candidates:
        if all((candidate / name).is_dir() for name in DATA_DIRS):
            return candidate
    raise HostError(
        f"the directories {', '.join(DATA_DIRS)} of iecpod are in none of: {', '.join(map(str, candidates))}",
        "install iecpod again with pip, from a complete source tree",
    )


def _data_dir_candidates(package_dir: Path) -> Iterator[Path]:
    """A checkout comes first (`pip install -e`); else pip's `share` of the prefix that the package is under.

    Looking upwards finds it for a virtual environment, --user, --prefix and --target alike.
    """
    yield package_dir.parent
    for ancestor in package_dir.parents:
        yield ancestor / "share" / "iecpod"


#: Where each directory is that the variable names, made when it is asked for: of users without a home it fails.
_Defaults = Mapping[str, Callable[[], Path]]

_SYSTEM: _Defaults = {
    "IECPOD_STATE_DIR": lambda: Path("/var/lib/iecpod"),
    "IECPOD_CACHE_DIR": lambda: Path("/var/cache/iecpod"),
    "IECPOD_RUNTIME_DIR": lambda: Path("/run/iecpod"),
}


def _user_defaults(environ: Mapping[str, str]) -> _Defaults:
    """Without a login session there is no runtime directory, and a guessable one in /tmp could be another user's."""

    def runtime_dir() -> Path:
        if environ.get("XDG_RUNTIME_DIR"):
            return platformdirs.user_runtime_path("iecpod")
        return platformdirs.user_state_path("iecpod") / "run"

    return {
        "IECPOD_STATE_DIR": lambda: platformdirs.user_state_path("iecpod"),
        "IECPOD_CACHE_DIR": lambda: platformdirs.user_cache_path("iecpod"),
        "IECPOD_RUNTIME_DIR": runtime_dir,
    }


def _directory(environ: Mapping[str, str], variable: str, defaults: _Defaults) -> Path:
    value = environ.get(variable)
    try:
        path = Path(value) if value else defaults[variable]()
    except RuntimeError:
        raise UsageError(
            "this user has no home directory, where iecpod keeps its state and its cache",
            f"set HOME, or name a directory in {variable}",
        ) from None
    return absolute_path(path, variable)
