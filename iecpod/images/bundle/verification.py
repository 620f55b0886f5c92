"""Required digest and signers of a bundle, checked before anything but the manifest's bytes is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from iecpod.errors import PreflightError, Problem
from iecpod.images.bundle.ssh_signature import find_signer


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleTrust:
    """`digest` (hex) is that of the manifest; `signers` the file of those of whom one must have signed it."""

    digest: str | None = None
    signers: Path | None = None

    def check(self, manifest: bytes, signature: bytes | None, origin: str) -> str | None:
        """The signer, where one is demanded. Raises `PreflightError`; `UsageError` where `signers` cannot be read."""
        found = hashlib.sha256(manifest).hexdigest()
        if self.digest not in (None, found):
            raise _refusal(
                origin,
                f"the digest of its manifest is {found}, not {self.digest}",
                f"give the bundle that was meant, or --bundle-digest {found} if it is this one",
                "bundle-digest",
            )
        if self.signers is None:
            return None
        if signature is None:
            raise _refusal(origin, "it is not signed", "have its maker run `iecpod bundle sign`", "bundle-signature")
        signer = find_signer(manifest, signature, self.signers)
        if signer is None:
            raise _refusal(
                origin,
                f"its signature is by no signer that {self.signers} lists, or is that of another bundle",
                "ask its maker for the bundle and its signature again, or for the key that signs",
                "bundle-signature",
            )
        return signer


#: For a bundle of whose maker nothing is asked.
ANY_BUNDLE = BundleTrust()


def _refusal(origin: str, message: str, remedy: str, rule: str) -> PreflightError:
    problem = Problem(file=origin, message=message, remedy=remedy, rule=rule)
    return PreflightError([problem], f"the bundle {origin} is not what was asked for")
