"""Marks that an overlay leaves on directories: under one name in a user namespace, under another on a guest.

Linux' overlayfs notes in extended attributes which directory hides those below it. Without privileges it can set only
`user.overlay.*` (mount option `userxattr`); an overlay of the system's own root reads `trusted.overlay.*`.
"""

from __future__ import annotations

import os
from pathlib import Path

from iecpod.errors import ImageError
from iecpod.images.confinement.untrusted_tree import Beneath, Links

_FOUND, _WANTED = "user.overlay.", "trusted.overlay."
_OPAQUE = "opaque"


def settle_overlay_marks(tree: Path, directory: str) -> None:
    """Renames what hides directories below that of the tree, and removes all other marks. Raises `ImageError`.

    Nothing of the tree may run meanwhile.
    """
    try:
        with Beneath.of(tree, Links.WITHIN) as inside:
            descriptor = inside.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                for _, directories, files, parent in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False):
                    for name in (*directories, *files):
                        _settle(f"/proc/self/fd/{parent}/{name}")
            finally:
                os.close(descriptor)
    except (OSError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "directories are nested too deep"
        raise ImageError(
            f"the images in {directory} of the tree cannot be read: {reason}", "build the tree or the bundle again"
        ) from error


def _settle(path: str) -> None:
    for name in os.listxattr(path, follow_symlinks=False):
        if name.startswith(_FOUND):
            value = os.getxattr(path, name, follow_symlinks=False)
            os.removexattr(path, name, follow_symlinks=False)
            if name == _FOUND + _OPAQUE:
                os.setxattr(path, _WANTED + _OPAQUE, value, follow_symlinks=False)
