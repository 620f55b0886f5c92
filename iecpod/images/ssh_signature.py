"""Signatures as OpenSSH makes and checks them (`ssh-keygen -Y`, PROTOCOL.sshsig)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from iecpod.adapters.trace import trace_command
from iecpod.errors import ImageError, UsageError

#: What a signature is for is signed, too: one that the same key made of something else is none of a bundle.
NAMESPACE = "iecpod-bundle"

#: For a key that waits to be touched, or an agent that asks its user.
_MOST_SECONDS = 120.0


def sign(content: bytes, key: Path, *, may_ask: bool) -> bytes:
    """A signature by a private key, or by the one in the agent that a public key (`.pub`) is of.

    Without `may_ask` nobody is asked for a passphrase. Raises `ImageError`.
    """
    if not key.is_file():
        raise UsageError(
            f"there is no key {key}", "give the file of a private key, or of the public key of one in ssh-agent"
        )
    return _run(["-Y", "sign", "-f", str(key), "-n", NAMESPACE], content, f"signing with {key}", may_ask=may_ask)


def find_signer(content: bytes, signature: bytes, signers: Path) -> str | None:
    """Who of `signers`, a file of ssh-keygen's ALLOWED SIGNERS, has signed it; None where nobody has.

    Raises `UsageError` where that file cannot be read.
    """
    try:
        signers.open("rb").close()
    except OSError as error:
        raise UsageError(
            f"the signers {signers}: {error.strerror}", "give a file of lines such as `NAME ssh-ed25519 AAAA…`"
        ) from error
    with tempfile.NamedTemporaryFile(prefix="iecpod-signature-") as file:
        file.write(signature)
        file.flush()
        about = ["-f", str(signers), "-s", file.name]
        for name in _lines(["-Y", "find-principals", *about], b""):
            if _lines(["-Y", "verify", *about, "-I", name, "-n", NAMESPACE], content):
                return name
    return None


def _lines(arguments: Sequence[str], content: bytes) -> list[str]:
    """None where the answer is no."""
    try:
        output = _run(arguments, content, "checking the signature", may_ask=False)
    except ImageError:
        return []
    return output.decode(errors="replace").splitlines()


def _run(arguments: Sequence[str], content: bytes, purpose: str, *, may_ask: bool) -> bytes:
    argv = ["ssh-keygen", *arguments]
    trace_command("host", argv)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **({} if may_ask else {"SSH_ASKPASS_REQUIRE": "never"})}
    try:
        # In a session of its own it has no terminal that it could ask on.
        done = subprocess.run(
            argv, input=content, capture_output=True, check=False, env=environment, start_new_session=not may_ask,
            timeout=_MOST_SECONDS,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise ImageError(
            f"{purpose}: ssh-keygen is not installed", "bootstrap.sh installs what iecpod needs"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(
            f"{purpose}: ssh-keygen did not end in {_MOST_SECONDS:.0f} s", "see what it waits for"
        ) from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise ImageError(f"{purpose}: {reason}", "put a key with a passphrase into ssh-agent, and give its public key")
    return done.stdout
