"""Where the PODs are noted that were deployed from here, and what is noted of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from iecpod.commands.recalled import Recalled
from iecpod.errors import HostError
from iecpod.layout import Layout
from iecpod.model import PodRef

#: Written by every deploy as it begins, and again when all is checked.
NOTE = "deployed.json"


def pod_dir_of(layout: Layout, ref: PodRef) -> Path:
    return layout.state_dir / "pods" / ref.lab / ref.pod


def find_noted_pods(layout: Layout) -> list[PodRef]:
    """Every POD that has a directory of its own, however little is in it."""
    directories = (layout.state_dir / "pods").glob("*/*")
    return sorted(PodRef(path.parent.name, path.name) for path in directories if path.is_dir())


def remember(pod_dir: Path, chosen: Recalled) -> None:
    """In one step, and for the owner only: the base may be a URI with a password. Raises `HostError`."""
    unfinished = pod_dir / f"{NOTE}.partial"
    try:
        unfinished.touch(mode=0o600)
        with unfinished.open("w") as file:
            file.write(chosen.to_json())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(pod_dir / NOTE)
    except OSError as error:
        raise HostError(
            f"{pod_dir / NOTE} cannot be written: {error.strerror}",
            "make room there, or put the state elsewhere with IECPOD_STATE_DIR",
        ) from error


def recall(pod_dir: Path) -> Recalled:
    """Raises `HostError` where the note is not what `remember` wrote."""
    path = pod_dir / NOTE
    try:
        return Recalled.from_json(path.read_text())
    except FileNotFoundError:
        return Recalled()
    except (ValueError, TypeError) as error:
        raise HostError(
            f"{path} does not say what the POD was deployed with",
            "remove that file, and give the options of the deploy again (-c, -b, --release …)",
        ) from error


def remove_pod_dir(pod_dir: Path) -> None:
    """With the lab's directory where nothing else is in it.

    The note goes last: a teardown that was killed here must know where the POD was.
    """
    if pod_dir.exists():
        for path in pod_dir.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != NOTE:
                path.unlink()
        shutil.rmtree(pod_dir)
    lab_dir = pod_dir.parent
    if lab_dir.exists() and not any(lab_dir.iterdir()):
        lab_dir.rmdir()
