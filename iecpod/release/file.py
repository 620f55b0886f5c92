"""Release files: YAML in, `Release` out."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

from iecpod.descriptors.schema import check_schema
from iecpod.errors import DescriptorError, UsageError
from iecpod.files.reader import is_file, read_regular
from iecpod.model import Arch
from iecpod.release.container_environment import parse_environments
from iecpod.release.go_source import parse_go_source
from iecpod.release.release import (
    AptRepository,
    BundleSource,
    CniSource,
    DistributionArchive,
    HelmSource,
    ImageSource,
    ImageSourceType,
    KubernetesSource,
    Manifest,
    Release,
)
from iecpod.release.release_rules import check_release_rules, cni_sections
from iecpod.yaml.builder import MAX_BYTES
from iecpod.yaml.document import load_yaml

_T = TypeVar("_T")


def load_release(name_or_path: str, releases_dir: Path, schemas_dir: Path, base_os: str | None = None) -> Release:
    """The release of that name, or of that file when the argument holds a `/` or ends with `.yaml`.

    `base_os` chooses one of its variants. Raises `UsageError` when there is no such release or variant,
    `DescriptorError` with every problem when it is not valid.
    """
    return parse_release(select_variant(read_release(name_or_path, releases_dir, schemas_dir), base_os))


def read_release(name_or_path: str, releases_dir: Path, schemas_dir: Path) -> dict[str, Any]:
    """What the file says, checked. Raises as `load_release`."""
    path = find_release_file(name_or_path, releases_dir)
    try:
        content = read_regular(path, MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give a release file that you may read") from error
    return check_release_text(content, str(path), schemas_dir)


def check_release_text(content: bytes, file: str, schemas_dir: Path) -> dict[str, Any]:
    """What a release says. Raises `DescriptorError` with every problem when it is not valid."""
    document = load_yaml(content, file)
    problems = check_schema(document, "release", schemas_dir) or check_release_rules(document)
    if problems:
        raise DescriptorError(problems, f"{file} is not a valid release")
    return cast(dict[str, Any], document.data)


def select_variant(data: dict[str, Any], base_os: str | None) -> dict[str, Any]:
    """The release on that operating system, with what stands in for its own values put there, and no `variants`.

    None is the operating system of the release itself. Raises `UsageError` that names those there are.
    """
    variants = data.get("variants", {})
    whole = {key: value for key, value in data.items() if key != "variants"}
    if base_os in (None, data.get("base_os")):
        return whole
    if base_os not in variants:
        known = [name for name in (data.get("base_os"), *variants) if name]
        offered = f"it has {' and '.join(known)}" if known else "it names none"
        raise UsageError(
            f"release {data['name']} has no base image {base_os!r}",
            f"{offered}: use another -o, leave it out, or choose another --release",
        )
    return {**whole, "base_os": base_os, **variants[base_os]}


def names_file(name_or_path: str) -> bool:
    return "/" in name_or_path or name_or_path.endswith(".yaml")


def foreign_release_file(name_or_path: str, releases_dir: Path) -> str:
    """The path of a release file that is not one of iecpod's own; empty for those and for names."""
    is_foreign = names_file(name_or_path) and Path(name_or_path).resolve().parent != releases_dir.resolve()
    return name_or_path if is_foreign else ""


def find_release_file(name_or_path: str, releases_dir: Path) -> Path:
    if names_file(name_or_path):
        path = Path(name_or_path)
        if not is_file(path):
            raise UsageError(f"there is no release file {path}", "give the name of a release or the path of its file")
        return path
    known = known_releases(releases_dir)
    if name_or_path not in known:
        raise UsageError(f"there is no release {name_or_path!r}", f"use one of: {', '.join(known)}")
    return releases_dir / f"{name_or_path}.yaml"


def known_releases(releases_dir: Path) -> list[str]:
    return sorted(path.stem for path in releases_dir.glob("*.yaml"))


def parse_release(data: dict[str, Any]) -> Release:
    """`data` fits the schema: what is read without a default is there."""
    simple = {
        key: data[key]
        for key in (
            "name", "description", "user", "base_os", "kubernetes_version", "image_repository", "etcd_version",
            "coredns_version",
            "pause_image", "nginx_image", "kube_router_image", "runtime", "cgroup_driver", "coredns",
        )
        if key in data
    }  # fmt: skip
    return Release(
        **simple,
        image=_parse_image(data["image"]),
        cnis=tuple(data["cnis"]),
        ignored_preflight_checks=tuple(data.get("ignored_preflight_checks", ())),
        repositories=tuple(_parse_repository(entry) for entry in data.get("repositories", ())),
        packages=tuple(data.get("packages", ())),
        bundle=_parse_bundle(data["bundle"]) if "bundle" in data else None,
        cni_sources={name: _parse_cni_source(data[name]) for name in cni_sections(data)},
        helm=_parse_helm(data["helm"]) if "helm" in data else None,
        archive=_parse_archive(data["archive"]) if "archive" in data else None,
        extra_images=tuple(data.get("extra_images", ())),
        supported_until=datetime.date.fromisoformat(data["supported_until"]) if "supported_until" in data else None,
    )


def _parse_image(data: dict[str, Any]) -> ImageSource:
    return ImageSource(
        type=ImageSourceType(data["type"]),
        location=_per_arch(data.get("location", {})),
        sha256sums=_per_arch(data.get("sha256sums", {})),
        mirror=data.get("mirror", ""),
        security_mirror=data.get("security_mirror", ""),
        suite=data.get("suite", ""),
        keyring=data.get("keyring", ""),
        packages=tuple(data.get("packages", ())),
        kernel_arguments=tuple(data.get("kernel_arguments", ())),
    )


def _per_arch(data: dict[str, _T]) -> dict[Arch, _T]:
    return {Arch(arch): value for arch, value in data.items()}


def _parse_repository(data: dict[str, Any]) -> AptRepository:
    return AptRepository(
        name=data["name"],
        uri=data["uri"],
        suites=tuple(data["suites"]),
        components=tuple(data["components"]),
        key_url=data.get("key_url", ""),
        key_fingerprint=tuple(data.get("key_fingerprint", ())),
        withdrawn=data.get("withdrawn", ""),
    )


def _parse_cni_source(data: dict[str, Any]) -> CniSource:
    lists = {key: value for key, value in data.items() if isinstance(value, list) and key != "containers"}
    return CniSource(
        manifests={key: _parse_manifests(listed) for key, listed in lists.items()},
        containers=parse_environments(data.get("containers", ())),
        image_names=_per_arch(data.get("image_names", {})),
        settings={key: value for key, value in data.items() if isinstance(value, (str, bool))},
    )


def _parse_manifests(data: Iterable[dict[str, str]]) -> tuple[Manifest, ...]:
    return tuple(Manifest(**manifest) for manifest in data)


def _parse_helm(data: dict[str, Any]) -> HelmSource:
    return HelmSource(
        version=data["version"],
        location=_per_arch(data["location"]),
        sha256=_per_arch(data.get("sha256", {})),
        sha256sums=_per_arch(data.get("sha256sums", {})),
        tiller=data.get("tiller", False),
    )


def _parse_archive(data: dict[str, Any]) -> DistributionArchive:
    return DistributionArchive(
        mirror=_per_arch(data["mirror"]),
        suites=tuple(data["suites"]),
        components=tuple(data["components"]),
        keyring=data["keyring"],
    )


def _parse_bundle(data: dict[str, Any]) -> BundleSource:
    return BundleSource(
        packages=tuple(data["packages"]),
        image_packages=tuple(data["image_packages"]),
        kubernetes=_parse_kubernetes(data["kubernetes"]) if "kubernetes" in data else None,
        go=parse_go_source(data["go"]) if "go" in data else None,
    )


def _parse_kubernetes(data: dict[str, Any]) -> KubernetesSource:
    return KubernetesSource(**{**data, "go_packages": tuple(data["go_packages"])})
