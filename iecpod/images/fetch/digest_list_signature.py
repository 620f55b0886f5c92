"""Detached signatures of lists of digests, checked with gpgv and a key ring of this host."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from iecpod.errors import ImageError
from iecpod.images.confinement.tool import call_tool

_STATUS = "[GNUPG:] "


def missing_for(keyring: str) -> str:
    """Why this host cannot check signatures by a key of `keyring`; empty if it can."""
    if not Path(keyring).is_file():
        return f"there is no key ring {keyring}"
    return "" if shutil.which("gpgv") else "the program gpgv is not installed"


def check_signature(content: bytes, signature: bytes, keyring: str, url: str) -> None:
    """Raises `ImageError` where `signature` is not one of `content` (from `url`) by a key of `keyring`.

    Signatures by keys that are not in the ring are ignored; a wrong one is an error.
    """
    with tempfile.TemporaryDirectory(prefix="iecpod-gpgv-") as directory:
        signed, detached = Path(directory, "signed"), Path(directory, "signature")
        signed.write_bytes(content)
        detached.write_bytes(signature)
        argv = ["gpgv", "--homedir", directory, "--status-fd", "1", "--keyring", keyring, str(detached), str(signed)]
        done = call_tool(argv, purpose=f"checking the signature of {url}")
    status = [line.removeprefix(_STATUS) for line in done.stdout.splitlines() if line.startswith(_STATUS)]
    words = {line.partition(" ")[0] for line in status}
    if "GOODSIG" not in words or "BADSIG" in words:
        raise ImageError(
            f"{url} is not signed by a key of {keyring}\n{done.stderr.rstrip()}",
            "run again; if it stays so, do not trust the server: use another one",
        )
