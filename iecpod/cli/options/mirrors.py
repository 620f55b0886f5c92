"""Options about where software comes from: mirrors, proxies, certificates; and what they become."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from iecpod.files.reader import is_file, read_small
from iecpod.http.url import check_open_url

if TYPE_CHECKING:
    from iecpod.release.mirrors import Supply

F = TypeVar("F", bound=Callable[..., Any])

_MOST_CERTIFICATE_BYTES = 4 * 1024 * 1024
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\s]+?-----END CERTIFICATE-----")


def apt_mirror_option(help_text: str) -> Callable[[F], F]:
    """Also for verbs that take no other of these options."""

    def check(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
        return _url("--apt-mirror", value)

    return click.option("--apt-mirror", default="", callback=check, help=help_text)


def supply_options(function: F) -> F:
    """--registry-mirror, --http-proxy and their like, for the verbs that make or plan a POD."""
    for option in reversed((*_SOURCES, *_NODES)):
        function = option(function)
    return function


def source_options(function: F) -> F:
    """Of these, those that say where a release's own software is fetched from."""
    for option in reversed(_SOURCES):
        function = option(function)
    return function


def _many(name: str, metavar: str, text: str) -> Callable[[F], F]:
    return click.option(name, metavar=metavar, multiple=True, help=f"{text} May be given more than once.")


_SOURCES: tuple[Callable[[Any], Any], ...] = (
    click.option("--image-url", default="", metavar="URL", help="Base image, with SHA256SUMS beside it."),
    _many("--repository", "NAME=URL", "Mirror of the release's apt repository NAME."),
    _many("--repository-key", "NAME=FILE", "Key that signs the apt repository NAME; a file or a URL."),
    _many("--manifest", "NAME=FILE", "A file in the place of the release's manifest NAME."),
    _many("--registry-mirror", "REGISTRY=URL", "Where images of REGISTRY, such as docker.io, are fetched."),
)

_NODES: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--http-proxy",
        default="",
        metavar="URL",
        help="Proxy of the nodes, for packages and images. Default: upstream_proxy of the IDF.",
    ),
    click.option("--https-proxy", default="", metavar="URL", help="The same for https. Default: that of --http-proxy."),
    _many("--no-proxy", "HOST,...", "Hosts and networks reached directly, besides those of the POD."),
    click.option(
        "--ca-cert",
        "ca_certs",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        multiple=True,
        help="Certificates (PEM) that the nodes trust. May be given more than once.",
    ),
)


def make_supply(options: Mapping[str, Any]) -> Supply | None:
    """None where none of these options is given. Raises click's `UsageError` for what cannot be meant."""
    if "registry_mirror" not in options:
        return None
    from iecpod.release.mirrors import Supply

    supply = Supply(
        apt_mirror=_url("--apt-mirror", options["apt_mirror"]),
        image_url=_url("--image-url", options["image_url"]),
        repositories=_urls("--repository", options["repository"]),
        repository_keys={
            name: _url("--repository-key", value) if "://" in value else _file("--repository-key", value)
            for name, value in _pairs("--repository-key", options["repository_key"])
        },
        manifests={name: _file("--manifest", value) for name, value in _pairs("--manifest", options["manifest"])},
        registry_mirrors=_registry_mirrors(options["registry_mirror"]),
        http_proxy=_url("--http-proxy", options.get("http_proxy", "")),
        https_proxy=_url("--https-proxy", options.get("https_proxy", "")),
        no_proxy=tuple(_no_proxy(options.get("no_proxy", ()))),
        ca_certificates=tuple(text for path in options.get("ca_certs", ()) for text in _certificates(path)),
    )
    return supply if supply != Supply() else None


def _pairs(option: str, values: Iterable[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for value in values:
        name, separator, meant = value.partition("=")
        if not (name and separator and meant):
            raise click.UsageError(f"{option} {value!r} is not of the form NAME=VALUE")
        if name in dict(pairs):
            raise click.UsageError(f"{option} is given twice for {name!r}")
        pairs.append((name, meant))
    return pairs


def _url(option: str, value: str) -> str:
    """A password would be readable in lists of processes, and in files of every node: it is not even shown here."""
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise click.UsageError(f"{option} must not hold a user or password; use a server that asks for none")
    try:
        return check_open_url(value) if value else ""
    except ValueError:
        raise click.UsageError(
            f"{option} {value!r} is not a URL: it begins with http:// or https:// and a host"
        ) from None


def _urls(option: str, values: Iterable[str]) -> dict[str, str]:
    return {name: _url(option, value) for name, value in _pairs(option, values)}


def _registry_mirrors(values: Iterable[str]) -> dict[str, str]:
    from iecpod.release.mirrors import REGISTRY

    mirrors = _urls("--registry-mirror", values)
    for registry in mirrors:
        if not REGISTRY.fullmatch(registry):
            raise click.UsageError(f"--registry-mirror: {registry!r} is not the host of a registry")
    return mirrors


def _no_proxy(values: Iterable[str]) -> Iterable[str]:
    from iecpod.release.mirrors import DIRECT

    for entry in ",".join(values).split(","):
        if entry.strip() and not DIRECT.fullmatch(entry.strip()):
            raise click.UsageError(f"--no-proxy: {entry.strip()!r} is neither host, domain nor network")
        if entry.strip():
            yield entry.strip()


def _file(option: str, value: str) -> str:
    path = Path(value).absolute()
    if not is_file(path):
        raise click.UsageError(f"{option}: there is no file {value}")
    return str(path)


def _certificates(path: Path) -> list[str]:
    try:
        text = read_small(path, _MOST_CERTIFICATE_BYTES).decode(errors="replace")
    except OSError as error:
        raise click.UsageError(f"--ca-cert: {path}: {error.strerror}") from error
    found = _CERTIFICATE.findall(text)
    if not found or "PRIVATE KEY" in text:
        raise click.UsageError(f"--ca-cert: {path} does not hold certificates in PEM form, and nothing else")
    return [f"{certificate}\n" for certificate in found]
