"""Release files: YAML in, `Release` out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from iecpod.descriptors.schema import check_schema
from iecpod.design.release import (
    AptRepository,
    BundleSource,
    ImageSource,
    ImageSourceType,
    KubernetesSource,
    Release,
)
from iecpod.errors import DescriptorError, UsageError
from iecpod.model import Arch
from iecpod.yaml_document import load_yaml


def load_release(name_or_path: str, releases_dir: Path, schemas_dir: Path) -> Release:
    """The release of that name, or of that file when the argument holds a `/` or ends with `.yaml`.

    Raises `UsageError` when there is none, `DescriptorError` with every problem when it is not valid.
    """
    path = find_release_file(name_or_path, releases_dir)
    document = load_yaml(path.read_bytes(), str(path))
    problems = check_schema(document, "release", schemas_dir)
    if problems:
        raise DescriptorError(problems, f"{path} is not a valid release")
    return parse_release(cast(dict[str, Any], document.data))


def names_file(name_or_path: str) -> bool:
    return "/" in name_or_path or name_or_path.endswith(".yaml")


def find_release_file(name_or_path: str, releases_dir: Path) -> Path:
    if names_file(name_or_path):
        path = Path(name_or_path)
        if not path.is_file():
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
            "pause_image", "nginx_image", "runtime", "cgroup_driver", "coredns", "calico_manifest_url",
            "calico_manifest_sha256",
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
    )


def _parse_image(data: dict[str, Any]) -> ImageSource:
    return ImageSource(
        type=ImageSourceType(data["type"]),
        location={Arch(arch): location for arch, location in data.get("location", {}).items()},
        sha256sums={Arch(arch): location for arch, location in data.get("sha256sums", {}).items()},
        mirror=data.get("mirror", ""),
        security_mirror=data.get("security_mirror", ""),
        suite=data.get("suite", ""),
        keyring=data.get("keyring", ""),
        packages=tuple(data.get("packages", ())),
        kernel_arguments=tuple(data.get("kernel_arguments", ())),
    )


def _parse_repository(data: dict[str, Any]) -> AptRepository:
    return AptRepository(
        name=data["name"],
        uri=data["uri"],
        suites=tuple(data["suites"]),
        components=tuple(data["components"]),
        key_url=data.get("key_url", ""),
    )


def _parse_bundle(data: dict[str, Any]) -> BundleSource:
    kubernetes = dict(data["kubernetes"])
    return BundleSource(
        packages=tuple(data["packages"]),
        image_packages=tuple(data["image_packages"]),
        kubernetes=KubernetesSource(**{**kubernetes, "go_packages": tuple(kubernetes["go_packages"])}),
    )
