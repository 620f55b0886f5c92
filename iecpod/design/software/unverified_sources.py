"""What of a release's software is taken as its server gives it, since nothing says what it must be: warnings."""

from __future__ import annotations

from collections.abc import Iterator

from iecpod.errors import Problem, Severity
from iecpod.model import Arch
from iecpod.release.mirrors import Supply
from iecpod.release.release import ImageSourceType, Release


def check_trust(release: Release, arch: Arch, supply: Supply) -> list[Problem]:
    """Each download that neither a digest nor a signature covers; a bundle was verified as a whole."""
    if release.provided is not None:
        return []
    return [
        *_check_image(release, arch),
        *_check_keys(release),
        *_check_helm(release, arch),
        *_check_registries(release, supply),
    ]


def check_release_file(file: str, release: Release) -> list[Problem]:
    """`file` is a release file that is not one of iecpod's own; empty where the release is."""
    is_built_here = release.image.type is ImageSourceType.MMDEBSTRAP or release.bundle is not None
    if not file or not is_built_here or release.provided is not None:
        return []
    return [
        _warning(
            "release-builds-as-root",
            f"{file} is not one of iecpod's own releases, and its software is built on this host: scripts of packages, "
            "and compilers that it names, run as root and are not confined. The file also names the mirrors, and the "
            "key ring that their packages are verified with: its maker is root on this host while that is built",
            "continue only if you trust whoever made the file, and read it first; or deploy a bundle of it "
            "(--bundle), which was built elsewhere: its scripts are confined here",
        )
    ]


def _check_image(release: Release, arch: Arch) -> Iterator[Problem]:
    """It is verified by its sums, so what matters is how those are verified."""
    image, sums_url = release.image, release.image.sha256sums.get(arch, "")
    if image.type is ImageSourceType.URL and not image.keyring and _is_plain(sums_url):
        yield _unprotected(
            f"{sums_url} says what the base image must be, and comes over plain http without a signature that is "
            "checked: whoever is on the way can give nodes another system",
            "use https, or a copy of the release with the address and `image.keyring`",
        )


def _check_keys(release: Release) -> Iterator[Problem]:
    for repository in release.repositories:
        if "://" not in repository.key_url or repository.key_fingerprint or repository.withdrawn:
            continue
        if _is_plain(repository.key_url):
            yield _unprotected(
                f"the key of the repository {repository.name} comes over plain http ({repository.key_url}): whoever "
                "is on the way can sign packages for nodes",
                f"use https, or give the key as a file: --repository-key {repository.name}=FILE",
            )
        else:
            yield _warning(
                "key-not-pinned",
                f"nothing says which key signs the repository {repository.name}: what {repository.key_url} gives is "
                "trusted",
                "write its `key_fingerprint` into a copy of the release (`iecpod releases show "
                f"{release.name}`), or give the key as a file: --repository-key {repository.name}=FILE",
            )


def _check_helm(release: Release, arch: Arch) -> Iterator[Problem]:
    helm = release.helm
    sums_url = helm.sha256sums.get(arch, "") if helm is not None and arch not in helm.sha256 else ""
    if helm is not None and _is_plain(sums_url):
        yield _unprotected(
            f"{sums_url} says what Helm {helm.version} must be, and comes over plain http: whoever is on the way can "
            "give the first node another program",
            "write `helm.sha256` into a copy of the release",
        )
    elif helm is not None and sums_url:
        yield _warning(
            "helm-not-pinned",
            f"nothing says what Helm {helm.version} must be but {sums_url}, beside the archive itself",
            "write `helm.sha256` into a copy of the release, once you are sure of it",
        )


def _check_registries(release: Release, supply: Supply) -> Iterator[Problem]:
    for registry, url in {} if release.needs_no_network else supply.registry_mirrors.items():
        if _is_plain(url):
            yield _unprotected(
                f"images of {registry} come over plain http ({url}): whoever is on the way can exchange those that "
                "are named by tag alone",
                "use https (--ca-cert for an authority of the lab's own), or deploy from a bundle",
            )


def _is_plain(url: str) -> bool:
    return url.lower().startswith("http://")


def _unprotected(message: str, remedy: str) -> Problem:
    return _warning("plain-http", message, remedy)


def _warning(rule: str, message: str, remedy: str) -> Problem:
    return Problem(message=message, remedy=remedy, rule=rule, severity=Severity.WARNING)
