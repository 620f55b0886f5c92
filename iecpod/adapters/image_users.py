"""Who has disks that rest on images of a cache. What cannot be looked at counts as resting on each of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from iecpod.adapters.libvirt_disks import find_domain_disks
from iecpod.adapters.namespaces import find_processes
from iecpod.errors import HostError
from iecpod.images.qcow2 import find_chain, is_image

SYSTEM_URI = "qemu:///system"
_SYSTEM_SOCKETS = (Path("/run/libvirt/libvirt-sock-ro"), Path("/run/libvirt/virtqemud-sock-ro"))


def find_users(images: Sequence[Path], pods: Mapping[Path, str], uris: Iterable[str]) -> dict[Path, tuple[str, ...]]:
    """By image, whom a person knows by these words; `pods` are names of PODs by their directories.

    Processes are told where nobody else is: those of guests are in the others.
    """
    users = [*(_pod_user(pod_dir, name) for pod_dir, name in pods.items()), *_domain_users(uris)]
    found = {}
    for image in images:
        named = [name for name, uses in users if uses(image)]
        found[image] = tuple(dict.fromkeys(named)) or tuple(_processes(image))
    return found


def system_uris() -> tuple[str, ...]:
    """The libvirt of this machine itself, where it has one."""
    return (SYSTEM_URI,) if any(path.exists() for path in _SYSTEM_SOCKETS) else ()


_User = tuple[str, Callable[[Path], bool]]


def _pod_user(pod_dir: Path, name: str) -> _User:
    try:
        backings = [backing for file in _files_below(pod_dir) for backing in find_chain(file)]
    except OSError as error:
        return _unknown(name, f"{error.filename or pod_dir}: {error.strerror}")
    return _resting(name, backings)


def _domain_users(uris: Iterable[str]) -> Iterator[_User]:
    for uri in dict.fromkeys(uris):
        try:
            disks = find_domain_disks(uri)
        except HostError as error:
            yield _unknown(f"perhaps a domain at {uri}", error.cause)
            continue
        for domain, file in disks:
            name = f"domain {domain} at {uri}"
            try:
                yield _resting(name, [file, *find_chain(file)])
            except OSError as error:
                yield _unknown(name, f"{error.filename or file}: {error.strerror}")


def _resting(name: str, backings: Sequence[Path]) -> _User:
    return name, lambda image: any(is_image(backing, image) for backing in backings)


def _unknown(name: str, why: str) -> _User:
    return f"{name} (cannot be looked at: {why})", lambda _image: True


def _files_below(directory: Path) -> Iterator[Path]:
    """Plain files. Raises `OSError` for a directory that cannot be read; what goes meanwhile is passed over."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for top, _, names in os.walk(directory, onerror=refuse):
        for name in names:
            file = Path(top) / name
            try:
                if stat.S_ISREG(file.lstat().st_mode):
                    yield file
            except FileNotFoundError:
                continue


def _processes(image: Path) -> list[str]:
    """Those that have the file open, such as QEMU; of another user's process only the command line can be read."""
    try:
        status = image.stat()
    except FileNotFoundError:
        return []
    identity = (status.st_dev, status.st_ino)

    def has_open(process: Path) -> bool:
        try:
            descriptors = list((process / "fd").iterdir())
        except PermissionError:
            return os.fsencode(image) in (process / "cmdline").read_bytes()
        return any(_identity(descriptor) == identity for descriptor in descriptors)

    return [f"process {process}" for process in find_processes(has_open)]


def _identity(descriptor: Path) -> tuple[int, int] | None:
    try:
        status = descriptor.stat()
    except OSError:  # it was closed meanwhile, or is of a kind that has no status
        return None
    return status.st_dev, status.st_ino
