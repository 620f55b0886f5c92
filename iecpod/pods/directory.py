"""Where the PODs are noted that were deployed from here, and what is noted of them."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

from iecpod.errors import HostError, ResourceConflict, UsageError
from iecpod.files.reader import read_own
from iecpod.files.trusted_paths import check_directory, make_directory
from iecpod.files.writer import PRIVATE, replace_file
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.outside_json import parse_json
from iecpod.pods.installation import ensure_installation
from iecpod.pods.saved import SavedPod

#: Written by every deploy as it begins, and again when all is checked.
NOTE = "deployed.json"

#: Of the last deploy or restore.
REPORT = "report.json"
KUBECONFIG = "kubeconfig"

#: Marks what a restore that was killed has left: no POD yet, until a deploy continues from it.
RESTORING = "restoring"


#: Marks a directory as a POD's; made with it, before anything is in it.
_MARK = ".iecpod"

#: By one of these, too, a directory is known that an earlier version made.
_MARKS = (_MARK, NOTE, "keys/id_ed25519")

#: What an earlier version made before any of them.
_UNMARKED = {"console", "keys", "libvirt", "nvram", f"{NOTE}.partial"}


def pod_dir_of(layout: Layout, ref: PodRef) -> Path:
    return ref.below(_pods_dir(layout))


def make_pod_dir(layout: Layout, ref: PodRef) -> None:
    """Others may pass through (libvirt's own user opens disks below), and list nothing.

    Raises as `check_pod_dir`.
    """
    check_pod_dir(layout, ref)
    ensure_installation(layout.state_dir)
    pod_dir = pod_dir_of(layout, ref)
    make_directory(pod_dir, 0o711)
    (pod_dir / _MARK).touch(mode=0o600)
    for name in ("nvram", "console"):  # domains name files in them, and libvirt makes files only
        make_directory(pod_dir / name, 0o711)


def check_pod_dir(layout: Layout, ref: PodRef) -> None:
    """Raises `ResourceConflict` where the POD's directory is reached by a link, or is not a POD's.

    Whoever put a link there, what it leads to is not ours to read, fill or remove. Raises `PathRefused` where others
    may change what is in it.
    """
    pod_dir = pod_dir_of(layout, ref)
    for path in (_pods_dir(layout), pod_dir.parent, pod_dir):
        if path.is_symlink():
            raise _not_ours(path, "a symbolic link")
    if not pod_dir.exists():
        return
    if not pod_dir.is_dir():
        raise _not_ours(pod_dir, "not a directory")
    if not _is_marked(pod_dir):
        raise _not_ours(pod_dir, "a directory that iecpod did not make")
    check_directory(pod_dir, levels=1)


def _pods_dir(layout: Layout) -> Path:
    return layout.state_dir / "pods"


def _is_marked(pod_dir: Path) -> bool:
    marks = (pod_dir / name for name in _MARKS)
    has_mark = any(mark.is_file() and not mark.is_symlink() for mark in marks)
    return has_mark or {path.name for path in pod_dir.iterdir()} <= _UNMARKED


def _not_ours(path: Path, what: str) -> ResourceConflict:
    return ResourceConflict(
        f"{path} is {what}, so nothing there is taken for a POD's state",
        "look at what it is, and move or remove it; to keep state elsewhere, use -S or IECPOD_STATE_DIR",
    )


def find_noted_pods(layout: Layout) -> list[PodRef]:
    """Every POD that has a directory of its own, however little is in it; also one that `check_pod_dir` refuses.

    Raises `OSError` where that cannot be found out.
    """
    found = []
    for path in (path for lab in _entries(_pods_dir(layout)) for path in _entries(lab)):
        with suppress(UsageError):  # a name that no POD has
            found += [PodRef(path.parent.name, path.name)] if path.is_dir() else []
    return sorted(found)


def _entries(directory: Path) -> list[Path]:
    """None of what is no directory, or is not there; `Path.glob` would also pass over what cannot be read."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return list(directory.iterdir())
    return []


def read_kubeconfig(layout: Layout, ref: PodRef) -> str | None:
    """None where there is none. Raises `ResourceConflict` as `check_pod_dir`."""
    check_pod_dir(layout, ref)
    path = pod_dir_of(layout, ref) / KUBECONFIG
    if path.is_symlink():
        raise _not_ours(path, "a symbolic link")
    try:
        return read_own(path).decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}", "check its owner and permissions") from error


def save_pod(pod_dir: Path, pod: SavedPod, installation: str) -> None:
    """In one step, and for the owner only: the base may be a URI with a password. Raises `HostError`.

    `installation` is not noted of a POD that an earlier version deployed, for as long as it lives.
    """
    noted = {"installation": installation} if not is_of_earlier_version(pod_dir) else {}
    text = json.dumps({**json.loads(pod.to_json()), **noted}, indent=2) + "\n"
    try:
        replace_file(pod_dir / NOTE, text, PRIVATE)
    except OSError as error:
        raise HostError(
            f"{pod_dir / NOTE} cannot be written: {error.strerror}",
            "make room there, or put the state elsewhere with IECPOD_STATE_DIR",
        ) from error


def is_of_earlier_version(pod_dir: Path) -> bool:
    """Whether the POD was deployed from here by a version of iecpod that marked nothing with the installation.

    Where the note is damaged or gone, the keys show that a POD was deployed from here, and of any version it may be.
    """
    try:
        noted = parse_json((pod_dir / NOTE).read_bytes(), ValueError).value
    except (OSError, ValueError):
        return (pod_dir / "keys").is_dir()
    return isinstance(noted, dict) and "installation" not in noted


def load_saved(pod_dir: Path) -> SavedPod:
    """Raises `HostError` where the note is not what `save_pod` wrote, `PathRefused` where others may change it."""
    path = pod_dir / NOTE
    remedy = "remove that file, and give the options of the deploy again (-c, -b, --release …)"
    try:
        return SavedPod.from_json(read_own(path))
    except FileNotFoundError:
        return SavedPod()
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}", f"if you may read it, {remedy}") from error
    except ValueError as error:
        raise HostError(f"{path} does not say what the POD was deployed with: {error}", remedy) from error


def remove_pod_dir(layout: Layout, ref: PodRef) -> None:
    """With the lab's directory where nothing else is in it. Raises `ResourceConflict` as `check_pod_dir`.

    The note goes last: a teardown that was killed here must know where the POD was.
    """
    check_pod_dir(layout, ref)
    pod_dir = pod_dir_of(layout, ref)
    if pod_dir.exists():
        for path in pod_dir.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in (NOTE, _MARK):
                path.unlink()
        shutil.rmtree(pod_dir)
    lab_dir = pod_dir.parent
    if lab_dir.exists() and not any(lab_dir.iterdir()):
        lab_dir.rmdir()
