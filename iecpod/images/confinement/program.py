"""Programs that work on what others made, where they reach nothing of this host: what they get, and how they start.

They run as root, since owners and modes of a guest's files are to come out right, but with few of its capabilities,
without a network, and with a root of their own: the tree that they belong to, or this host's programs, to be read only.
What they take of it, time and room included, has limits (`confined_run` watches them).
`confined_entry` is the process that makes this true and then becomes the program.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import iecpod

_MIB, _GIB = 1024**2, 1024**3
_MINUTE = 60.0

#: Numbers of capabilities(7).
_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _KILL, _SETGID, _SETUID, _SYS_CHROOT, _SYS_ADMIN, _MKNOD, _SETFCAP = (
    *(0, 1, 3, 4, 5, 6, 7, 18, 21, 27, 31),
)
_FILES = (_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _SETFCAP)

#: What dpkg and scripts of packages need inside a tree.
FOR_PACKAGES = (*_FILES, _KILL, _SETGID, _SETUID, _SYS_CHROOT)
#: containerd mounts what it unpacks; in its own namespace it can.
FOR_CONTAINERD = (*FOR_PACKAGES, _SYS_ADMIN)
#: Device nodes of a tree are made, and can be opened nowhere but in the guest.
FOR_UNPACKING = (*_FILES, _MKNOD)

#: The directory that holds the package: the entry finds it there, whatever the environment says.
_PACKAGE_PARENT = Path(iecpod.__file__).parents[1]
_ENTRY = (
    f"import sys; sys.path.insert(0, {str(_PACKAGE_PARENT)!r}); "
    "from iecpod.images.confinement.entry import main; main()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may take of this host. Several times what it needs on a slow one: who reaches a limit is stopped.

    `stored_bytes` and `files` count what is in the end below the directories that it may write, `stored_bytes` also
    the size of one file. `memory_bytes` is that of all its processes together.
    """

    seconds: float
    stored_bytes: int
    files: int = 1_000_000
    processes: int = 1000
    memory_bytes: int = 4 * _GIB


#: Scripts of packages, and containerd with the images of a release, in the tree of a guest.
FOR_A_TREE = Limits(seconds=120 * _MINUTE, stored_bytes=24 * _GIB)
FOR_ONE_PACKAGE = Limits(seconds=15 * _MINUTE, stored_bytes=4 * _GIB)
FOR_A_QUESTION = Limits(seconds=5 * _MINUTE, stored_bytes=16 * _MIB, files=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """`root` None is a root of this host's programs. `readable` and `writable` are this host's files and directories by
    the path that they have inside; `capabilities` are numbers.
    """

    limits: Limits
    root: Path | None = None
    readable: Mapping[str, Path] = field(default_factory=dict)
    writable: Mapping[str, Path] = field(default_factory=dict)
    capabilities: tuple[int, ...] = ()

    def command(self, argv: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """To be run in namespaces of its own. Only `environment` is passed on."""
        order = {**asdict(self), "argv": list(argv), "environment": dict(environment)}
        return [sys.executable, "-I", "-S", "-c", _ENTRY, json.dumps(order, default=str)]

    @property
    def written(self) -> tuple[Path, ...]:
        """Of this host, what the program may write below."""
        return (*(() if self.root is None else (self.root,)), *self.writable.values())


def of_this_host(
    *, limits: Limits, readable: Sequence[Path] = (), writable: Sequence[Path] = (), capabilities: tuple[int, ...]
) -> Confinement:
    """A program of this host, with these files and directories at the paths that they have."""
    return Confinement(
        limits=limits,
        readable={str(path): path for path in readable},
        writable={str(path): path for path in writable},
        capabilities=capabilities,
    )
