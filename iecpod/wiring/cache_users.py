"""Who needs what of a cache: PODs, domains and processes. What cannot be looked at counts as needing all of it."""

from __future__ import annotations

import os
import queue
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from iecpod.cache.qcow2 import find_chain
from iecpod.errors import HostError
from iecpod.files.reader import read_regular
from iecpod.hypervisor_uri import SYSTEM, HypervisorUri
from iecpod.processes import find_processes
from iecpod.providers.libvirt.connection.disks import find_domain_disks
from iecpod.providers.libvirt.connection.observed import find_disk_paths, find_disk_sources
from iecpod.providers.libvirt.embedded.stale_hypervisors import find_domain_files

_SYSTEM_SOCKETS = ("run/libvirt/libvirt-sock-ro", "run/libvirt/virtqemud-sock-ro")
_DEFINED_DOMAINS = "etc/libvirt/qemu"
_ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class KnownPod:
    """`name` is for people; `note` is the file that says what the POD was deployed with."""

    name: str
    directory: Path
    note: Path


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    needs: Callable[[Path], bool]


def find_users(
    paths: Sequence[Path],
    pods: Iterable[KnownPod],
    uris: Iterable[HypervisorUri],
    *,
    patience_seconds: float = _ANSWER_SECONDS,
) -> dict[Path, tuple[str, ...]]:
    """For each file or directory of a cache, whose last part is its digest or key, who needs it, in words.

    Processes are reported where no other user is found: those of guests belong to the others.
    """
    users = [*map(_pod_user, pods), *_domain_users(uris, patience_seconds)]
    processes = _find_readers(paths)
    found = {}
    for path in paths:
        named = [user.name for user in users if user.needs(path)]
        found[path] = tuple(dict.fromkeys(named or processes[path]))
    return found


def system_uris(root: Path = Path("/")) -> tuple[HypervisorUri, ...]:
    """The libvirt of this machine itself, where it has one; one that is stopped has domains, too."""
    is_there = any((root / path).exists() for path in _SYSTEM_SOCKETS) or any((root / _DEFINED_DOMAINS).glob("*.xml"))
    return (SYSTEM,) if is_there else ()


def _pod_user(pod: KnownPod) -> _User:
    """By the disks in its directory, those that its embedded libvirtd has on record, and its note."""
    try:
        disks = list(_files_below(pod.directory))
        for file in find_domain_files(pod.directory):
            domain = ElementTree.fromstring(read_regular(file))
            disks += [path for source in find_disk_sources(domain) for path in find_disk_paths(source)]
        named = [str(file) for disk in disks for file in (disk, *find_chain(disk))]
        with suppress(FileNotFoundError):
            named.append(read_regular(pod.note).decode(errors="replace"))
    except OSError as error:
        return _unknown(pod.name, f"{error.filename or pod.directory}: {error.strerror}")
    except (ValueError, ElementTree.ParseError) as error:
        return _unknown(pod.name, str(error))
    return _naming(pod.name, named)


def _domain_users(uris: Iterable[HypervisorUri], patience_seconds: float) -> Iterator[_User]:
    for uri in dict.fromkeys(uris):
        try:
            disks = _answer_of(uri, patience_seconds)
        except HostError as error:
            yield _unknown(f"perhaps a domain at {uri}", error.cause)
            continue
        for domain, file in disks:
            name = f"domain {domain} at {uri}"
            try:
                yield _naming(name, [str(file), *map(str, find_chain(file))])
            except OSError as error:
                yield _unknown(name, f"{error.filename or file}: {error.strerror}")
            except ValueError as error:
                yield _unknown(name, str(error))


def _answer_of(uri: HypervisorUri, patience_seconds: float) -> list[tuple[str, Path]]:
    """As `find_domain_disks`; a libvirt that takes the call and stays silent is left alone with it."""
    answers: queue.SimpleQueue[list[tuple[str, Path]] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(find_domain_disks(uri))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, name=f"disks at {uri}", daemon=True).start()
    try:
        answer = answers.get(timeout=patience_seconds)
    except queue.Empty:
        raise HostError(f"libvirt did not answer within {patience_seconds:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _naming(name: str, named: Sequence[str]) -> _User:
    return _User(name, lambda path: any(_means(text, path) for text in named))


def _unknown(name: str, why: str) -> _User:
    return _User(f"{name} (cannot be looked at: {why})", lambda _path: True)


def _means(text: str, path: Path) -> bool:
    """Whether the text names it, or something in it; the same digest in another cache, that is there, is another."""
    if path.name not in text:
        return False
    named = Path(text)
    for part in (named, *named.parents):
        if part.name == path.name:
            with suppress(OSError):
                return part.samefile(path)
    return True


def _files_below(directory: Path) -> Iterator[Path]:
    """Plain files, also by a link; what goes meanwhile is passed over. Raises `OSError` where one cannot be seen."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for top, _, names in os.walk(directory, onerror=refuse):
        for file in (Path(top) / name for name in names):
            with suppress(FileNotFoundError):
                if stat.S_ISREG(file.stat().st_mode):
                    yield file


def _find_readers(paths: Sequence[Path]) -> dict[Path, list[str]]:
    """Processes that have a file open, such as QEMU; of those of other users only the command line can be read."""
    owners = {_identity(file): path for path in paths for file in (_files_below(path) if path.is_dir() else (path,))}
    owners.pop(None, None)
    found: dict[int, set[Path]] = {}

    def reads(process: Path) -> bool:
        try:
            opened = {owners.get(_identity(descriptor)) for descriptor in (process / "fd").iterdir()}
        except PermissionError:
            command = (process / "cmdline").read_bytes()
            opened = {path for path in paths if os.fsencode(path) in command}
        found[int(process.name)] = {path for path in opened if path is not None}
        return bool(found[int(process.name)])

    readers: dict[Path, list[str]] = {path: [] for path in paths}
    for process in find_processes(reads):
        for path in found[process.pid]:
            readers[path].append(f"process {process}")
    return readers


def _identity(path: Path) -> tuple[int, int] | None:
    """None where it went or was closed meanwhile, or is of a kind that has no status."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
