"""Rules about values that hiera-eyaml encrypts, as far as they can be seen without its keys."""

from __future__ import annotations

from collections.abc import Iterator

from iecpod.descriptors.encrypted import broken_reason
from iecpod.descriptors.rules.documents import PodView
from iecpod.descriptors.rules.rule import Finding, warning


@warning("encrypted-value-broken", reason="no key can ever decrypt it", source="hiera-eyaml")
def encrypted_value_broken(pod: PodView) -> Iterator[Finding]:
    for document in pod.documents:
        for path, text in document.texts():
            if reason := broken_reason(text):
                yield Finding(
                    document,
                    path,
                    f"the value looks encrypted, but {reason}",
                    "copy the whole ENC[...] again, as eyaml printed it",
                )


@warning("decrypted-value-left", reason="`eyaml edit` encrypts these when it ends well", source="hiera-eyaml")
def decrypted_value_left(pod: PodView) -> Iterator[Finding]:
    for document in pod.documents:
        for path, text in document.texts():
            if text.lstrip().startswith(("DEC::", "DEC(")):
                yield Finding(
                    document, path, "a secret stands here in clear", "run `eyaml edit` on the file again, and save it"
                )
