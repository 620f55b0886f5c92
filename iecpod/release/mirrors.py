"""How nodes get at software: mirrors, proxies and certificates that a lab puts before the public sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from iecpod.errors import UsageError
from iecpod.http.url import check_open_url
from iecpod.outside_json import Json
from iecpod.release.image_reference import DOCKER_HUB
from iecpod.release.release import AptRepository, ImageSource, ImageSourceType, Release

#: Docker Hub answers at another name than the one that images are called by.
_DOCKER_HUB_SERVER = "https://registry-1.docker.io"

#: Host of a registry, which names a directory of nodes.
REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?")

#: Host, domain or network, as in `no_proxy`.
DIRECT = re.compile(r"[A-Za-z0-9._:/*-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Options as given; empty is upstream itself.

    `apt_mirror` is a mirror of the distribution's archive. `repositories`, `repository_keys` (URL or absolute path) and
    `manifests` (absolute path) go by the names that the release gives them, `registry_mirrors` (URLs) by the host of
    the registry. `ca_certificates` are PEM text. `no_proxy` is what is reached directly besides the POD's own.
    """

    apt_mirror: str = ""
    image_url: str = ""
    repositories: Mapping[str, str] = field(default_factory=dict)
    repository_keys: Mapping[str, str] = field(default_factory=dict)
    manifests: Mapping[str, str] = field(default_factory=dict)
    registry_mirrors: Mapping[str, str] = field(default_factory=dict)
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: tuple[str, ...] = ()
    ca_certificates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError`: these values stand in files of apt, systemd and container runtimes on every node."""
        urls = [self.apt_mirror, self.image_url, self.http_proxy, self.https_proxy]
        urls += [*self.repositories.values(), *self.registry_mirrors.values()]
        urls += [key for key in self.repository_keys.values() if "://" in key]
        for url in filter(None, urls):
            check_open_url(url)
        for pattern, names in ((REGISTRY, self.registry_mirrors), (DIRECT, self.no_proxy)):
            for name in names:
                if pattern.fullmatch(name) is None:
                    raise ValueError(f"{name!r} is not a host")

    @property
    def has_proxy(self) -> bool:
        return bool(self.http_proxy or self.https_proxy)

    @property
    def replaces_sources(self) -> bool:
        """Whether it says where the release's image and packages are fetched from."""
        return bool(self.image_url or self.repositories or self.repository_keys)

    def overlaid(self, given: Supply) -> Supply:
        """With what was given later in the place of the same: one name of a mapping, any other field as a whole."""
        changes: dict[str, Any] = {}
        for known in fields(given):
            value = getattr(given, known.name)
            if value:
                changes[known.name] = {**getattr(self, known.name), **value} if isinstance(value, Mapping) else value
        return replace(self, **changes)

    def of_any_release(self) -> Supply:
        """Without what goes by names of one release."""
        return replace(self, image_url="", repositories={}, repository_keys={}, manifests={})


def read_supply(found: Json) -> Supply:
    """Of the note of a POD; a field is read as that which it is when empty. Raises what `found` refuses with."""
    members, empty = found.members(), Supply()
    values: dict[str, Any] = {}
    for known in fields(Supply):
        if known.name in members:
            value, default = members[known.name], getattr(empty, known.name)
            if isinstance(default, Mapping):
                values[known.name] = {name: inner.as_text() for name, inner in value.members().items()}
            elif isinstance(default, tuple):
                values[known.name] = tuple(entry.as_text() for entry in value.as_entries())
            else:
                values[known.name] = value.as_text()
    return Supply(**values)


def registry_server(registry: str) -> str:
    """URL of the server of a registry."""
    return _DOCKER_HUB_SERVER if registry == DOCKER_HUB else f"https://{registry}"


def apply_supply(release: Release, supply: Supply) -> Release:
    """The release with its sources replaced. Raises `UsageError` for a name that the release does not have."""
    repositories = {repository.name for repository in release.repositories}
    manifests = {manifest.name for manifest in release.manifests}
    for option, names, known in (
        ("--repository", supply.repositories, repositories),
        ("--repository-key", supply.repository_keys, repositories),
        ("--manifest", supply.manifests, manifests),
    ):
        _check_names(release, option, names, known)
    return replace(
        release.with_manifests(lambda manifest: replace(manifest, file=supply.manifests.get(manifest.name, ""))),
        image=_replace_image(release.image, supply.image_url) if supply.image_url else release.image,
        repositories=tuple(_replace_repository(repository, supply) for repository in release.repositories),
    )


def add_manifests(release: Release, manifests: Mapping[str, str], given: Mapping[str, str]) -> Release:
    """The release of a bundle, with files of `manifests` for those that the bundle lacks.

    Of these, `given` were given now. Raises `UsageError` for names among them that the release does not have.
    """
    _check_names(release, "--manifest", given, {manifest.name for manifest in release.manifests})
    return release.with_manifests(
        lambda manifest: replace(manifest, file=manifest.file or manifests.get(manifest.name, ""))
    )


def _check_names(release: Release, option: str, names: Mapping[str, str], known: set[str]) -> None:
    for name in sorted(set(names) - known):
        listed = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise UsageError(f"{option}: release {release.name} has no {option[2:]} named {name!r}", listed)


def _replace_image(image: ImageSource, url: str) -> ImageSource:
    """The SHA256SUMS file is beside the image, as on Ubuntu's and Debian's own servers; a lab signs none."""
    parts = urlsplit(url)
    sums = urlunsplit(parts._replace(path=str(PurePosixPath(parts.path).parent / "SHA256SUMS"), query="", fragment=""))
    if image.type is not ImageSourceType.URL:
        raise UsageError(
            f"--image-url: the release's image is of type {image.type.value}, and is not fetched as a whole",
            "leave it out, or choose a --release whose image has an address",
        )
    of_all = image.location
    return replace(image, location=dict.fromkeys(of_all, url), sha256sums=dict.fromkeys(of_all, sums), keyring="")


def _replace_repository(repository: AptRepository, supply: Supply) -> AptRepository:
    """A mirror is signed by the same key, unless another one is given."""
    uri, key_url = supply.repositories.get(repository.name), supply.repository_keys.get(repository.name)
    if key_url is not None:
        repository = replace(repository, key_url=key_url, key_fingerprint=())
    return repository if uri is None else replace(repository, uri=uri, withdrawn="")
