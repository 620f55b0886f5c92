"""Signatures as OpenSSH makes and checks them (`ssh-keygen -Y`, PROTOCOL.sshsig)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from iecpod.errors import ImageError, UsageError
from iecpod.files.reader import is_file, read_small
from iecpod.images.confinement.tool import call_tool

#: What a signature is for is signed, too: one that the same key made of something else is none of a bundle.
NAMESPACE = "iecpod-bundle"

#: For a key that waits to be touched, or an agent that asks its user.
_MOST_SECONDS = 120.0

_MOST_SIGNERS_BYTES = 1024 * 1024


def sign(content: bytes, key: Path, *, may_ask: bool) -> bytes:
    """A signature by a private key, or by the one in the agent that a public key (`.pub`) is of.

    Without `may_ask`, no passphrase is asked for. Raises `ImageError`.
    """
    if not is_file(key):
        raise UsageError(
            f"there is no key {key}", "give the file of a private key, or of the public key of one in ssh-agent"
        )
    argv = ["-Y", "sign", "-f", str(key), "-n", NAMESPACE]
    return _run(argv, content, f"signing with {key}", may_ask=may_ask).encode()


def find_signer(content: bytes, signature: bytes, signers: Path) -> str | None:
    """The signer, by `signers`, a file of ssh-keygen's ALLOWED SIGNERS; None if none of them has signed it.

    Raises `UsageError` where that file cannot be read.
    """
    try:
        allowed = read_small(signers, _MOST_SIGNERS_BYTES)
    except OSError as error:
        raise UsageError(
            f"the signers {signers}: {error.strerror}", "give a file of lines such as `NAME ssh-ed25519 AAAA…`"
        ) from error
    with tempfile.TemporaryDirectory(prefix="iecpod-signature-") as directory:
        signers_copy, signature_file = Path(directory, "signers"), Path(directory, "signature")
        signers_copy.write_bytes(allowed)
        signature_file.write_bytes(signature)
        about = ["-f", str(signers_copy), "-s", str(signature_file)]
        for name in _lines(["-Y", "find-principals", *about], b""):
            if _lines(["-Y", "verify", *about, "-I", name, "-n", NAMESPACE], content):
                return name
    return None


def _lines(arguments: Sequence[str], content: bytes) -> list[str]:
    """What it prints, by lines; none if it refuses."""
    try:
        return _run(arguments, content, "checking the signature", may_ask=False).splitlines()
    except ImageError:
        return []


def _run(arguments: Sequence[str], content: bytes, purpose: str, *, may_ask: bool) -> str:
    done = call_tool(
        ["ssh-keygen", *arguments],
        purpose=purpose,
        stdin=content,
        environment={"LC_ALL": "C.UTF-8", **({} if may_ask else {"SSH_ASKPASS_REQUIRE": "never"})},
        timeout_seconds=_MOST_SECONDS,
        new_session=not may_ask,
    )
    if done.returncode:
        remedy = "put a key with a passphrase into ssh-agent, and give its public key"
        raise ImageError(f"{purpose}: {done.stderr.strip()}", remedy)
    return done.stdout
