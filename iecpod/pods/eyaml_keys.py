"""hiera-eyaml's keys, as commands are given them."""

from __future__ import annotations

from pathlib import Path

from iecpod.descriptors.encrypted import Decrypt
from iecpod.errors import UsageError


def load_keys(private_key: str | None, public_key: str | None) -> Decrypt | None:
    """What decrypts with hiera-eyaml's keys; None without them. Raises `UsageError` where they are no pair."""
    if private_key is None and public_key is None:
        return None
    if private_key is None or public_key is None:
        missing = "--eyaml-private-key" if private_key is None else "--eyaml-public-key"
        raise UsageError(f"{missing} is missing", "hiera-eyaml needs both of its keys to decrypt: give both")
    from iecpod.descriptors.eyaml_keys import load_eyaml_keys  # OpenSSL takes its time to load

    return load_eyaml_keys(Path(private_key), Path(public_key))
