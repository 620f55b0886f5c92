"""Values that hiera-eyaml encrypted: recognised wherever text may stand, and replaced by what they say."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeAlias

from iecpod.descriptors.pod_files import Descriptors
from iecpod.errors import Problem
from iecpod.yaml.document import Document

#: Makes text of an envelope's bytes. Raises `ValueError` with a sentence for people.
Decrypt: TypeAlias = Callable[[bytes], str]

#: hiera-eyaml finds its tokens anywhere in a text; one without a method is PKCS7. Folded blocks put spaces into it.
_TOKEN = re.compile(r"ENC\[(?:(\w+),)?([^\[\]]*)\]")
_SPACE = re.compile(r"\s+")

#: What a deploy reads, `*` for any key or index; everything else may stay encrypted.
_NEEDED_OF_PDF = (
    "nodes.*.name",
    "nodes.*.node.type",
    "nodes.*.node.arch",
    "nodes.*.node.memory",
    "nodes.*.disks.*.disk_capacity",
    "nodes.*.interfaces.*.mac_address",
)
_NEEDED_OF_IDF = (
    *(
        f"idf.net_config.{network}.{key}"
        for network in ("admin", "mgmt", "private", "public")
        for key in ("vlan", "network", "ip-range", "gateway")
    ),
    "idf.net_config.public.dns",
    "idf.net_config.public.dns.*",
    "idf.fuel.jumphost.bridges.*",
    "idf.fuel.network.ntp_strata_host1",
    "idf.fuel.network.ntp_strata_host2",
    "idf.fuel.network.public_pool.*",
    "idf.fuel.network.node.*.interfaces.*",
)
#: Needed where the hypervisor is named by the descriptors alone.
_HYPERVISOR = "nodes.*.remote_management.address"


def is_encrypted(value: object) -> bool:
    """Whether a value is text that holds an encrypted part."""
    return isinstance(value, str) and "ENC[" in value and _TOKEN.search(value) is not None


def decrypt_document(document: Document, decrypt: Decrypt) -> tuple[Document, list[Problem], frozenset[str]]:
    """The document with every value decrypted that can be, what is wrong with the others, and the secrets found."""
    plain: dict[str, str] = {}
    secrets: set[str] = set()
    problems: list[Problem] = []
    for path, text in document.texts():
        if not is_encrypted(text):
            continue
        try:
            parts = [decrypt(read_envelope(match[1], match[2])) for match in _TOKEN.finditer(text)]
        except ValueError as error:
            remedy = "encrypt the value again, with eyaml and the public key of this lab"
            problems.append(document.problem(path, f"the value cannot be decrypted: {error}", remedy, rule="encrypted"))
            continue
        # hiera cuts a last newline off too; the one of a folded block is outside of what was encrypted.
        around = _TOKEN.split(text.strip())[:: _TOKEN.groups + 1]
        plain[text] = "".join(chain.from_iterable(zip(around, [*parts, ""], strict=True))).removesuffix("\n")
        secrets |= {plain[text], *parts}
    if not plain:
        return document, problems, frozenset()
    return document.with_texts(lambda text: plain.get(text, text)), problems, frozenset(secrets)


def read_envelope(method: str | None, text: str) -> bytes:
    """The bytes of one token. Raises `ValueError` where no key can ever decrypt them."""
    if method not in (None, "PKCS7"):
        raise ValueError(f"its method is {method[:20]}, and iecpod knows PKCS7 only")
    try:
        envelope = base64.b64decode(_SPACE.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None
    if not _is_whole_sequence(envelope):
        raise ValueError("it is cut short or damaged: not one whole PKCS#7 envelope")
    return envelope


def broken_reason(text: str) -> str:
    """Why no key can ever decrypt a text that looks encrypted; empty where one might."""
    if "ENC[" not in text:
        return ""
    tokens = list(_TOKEN.finditer(text))
    if not tokens:
        return "its bracket is not closed"
    for match in tokens:
        try:
            read_envelope(match[1], match[2])
        except ValueError as error:
            return str(error)
    return ""


def check_needed(descriptors: Descriptors, *, with_hypervisor: bool) -> list[Problem]:
    """Values that a deploy reads and that are still encrypted."""
    patterns = (*_NEEDED_OF_PDF, _HYPERVISOR) if with_hypervisor else _NEEDED_OF_PDF
    return [
        document.problem(
            path,
            "the value is encrypted, and a deploy needs it",
            "give the lab's hiera-eyaml keys with --eyaml-private-key and --eyaml-public-key",
            rule="encrypted",
        )
        for document, wanted in ((descriptors.pdf, patterns), (descriptors.idf, _NEEDED_OF_IDF))
        for pattern in wanted
        for path, value in _find(document.data, pattern.split("."))
        if is_encrypted(value)
    ]


def _is_whole_sequence(data: bytes) -> bool:
    """Whether a DER sequence fills the data to its last byte."""
    if len(data) < 2 or data[0] != 0x30 or data[1] <= 0x80:
        return False
    count = data[1] & 0x7F  # an envelope is so long that its length has a length
    return int.from_bytes(data[2 : 2 + count], "big") == len(data) - 2 - count


def _find(
    value: object, parts: list[str], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if not parts:
        yield path, value
    elif isinstance(value, list) and parts[0] == "*":
        for index, item in enumerate(value):
            yield from _find(item, parts[1:], (*path, index))
    elif isinstance(value, dict):
        for key in value if parts[0] == "*" else (parts[0],):
            if key in value:
                yield from _find(value[key], parts[1:], (*path, key))
