"""Labels of images that are made of Debian's packages: from where, which version, and which bytes."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from urllib.parse import unquote

from iecpod.cache.hashed_files import sha256_of_file

_STATUS = "var/lib/dpkg/status"


def debian_labels(layer: Path, suite: str, package: str, version: str) -> dict[str, str]:
    """Of an image of one layer that is there for `package`; without the version where that is empty."""
    labels = {
        "org.opencontainers.image.source": f"https://packages.debian.org/{suite}/{package}",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": f"sha256:{sha256_of_file(layer)}",
    }
    return {name: value for name, value in labels.items() if value}


def installed_version(layer: Path, package: str) -> str:
    """By dpkg's own record in the layer, which is made by mmdebstrap; empty where that does not have the package."""
    with tarfile.open(layer) as tar:
        status = next((tar.extractfile(member) for member in tar if member.name.removeprefix("./") == _STATUS), None)
        text = status.read().decode(errors="replace") if status is not None else ""
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = dict(re.findall(r"(?m)^(Package|Version): (\S+)$", paragraph))
        if fields.get("Package") == package:
            return fields.get("Version", "")
    return ""


def version_of_file(deb: str) -> str:
    """`NAME_VERSION_ARCH.deb` as apt names what it downloads: a colon is written as `%3a`."""
    return unquote(deb.split("_")[1])
