"""SHA-256 digests as text: what comes from outside is one, or is refused."""

from __future__ import annotations

import re

#: Patterns for what has a digest in it; matched as a whole, they are the digest.
SHA256 = re.compile(r"[0-9a-f]{64}")
OCI_DIGEST = re.compile(rf"sha256:{SHA256.pattern}")


def is_sha256(text: str) -> bool:
    """64 hexadecimal digits, in lower case as iecpod and registries write them."""
    return SHA256.fullmatch(text) is not None


def is_oci_digest(text: str) -> bool:
    """As registries and image archives have it (OCI image-spec, descriptor.md); SHA-256 is the one algorithm taken."""
    return OCI_DIGEST.fullmatch(text) is not None
