"""What values of a release file must have to do with each other; a schema sees each alone."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, cast

from iecpod.errors import Problem, sort_problems
from iecpod.release.container_environment import find_repeated
from iecpod.release.image_reference import digest_of, without_digest
from iecpod.release.kubernetes_version import NEWEST_KUBERNETES, OLDEST_KUBERNETES, Minor, kubernetes_minor, minor_text
from iecpod.release.release import Release
from iecpod.yaml.document import Document

#: The last version whose kubelet speaks to docker by itself.
_LAST_WITH_DOCKER = (1, 23)
_PROGRAMS = ("kubeadm", "kubelet", "kubectl")
_PER_MINOR = re.compile(r"/core:/stable:/v(\d+)\.(\d+)/")


def check_release_rules(document: Document) -> list[Problem]:
    """Every rule that a release of the right form breaks, by place."""
    data = cast(dict[str, Any], document.data)
    version = str(data["kubernetes_version"])
    minor = kubernetes_minor(version)
    parts: list[tuple[tuple[str | int, ...], dict[str, Any]]] = [((), data)]
    parts += [(("variants", name), variant) for name, variant in data.get("variants", {}).items()]
    of_parts = chain.from_iterable(
        chain(_check_packages(document, place, part, version), _check_repositories(document, place, part, minor))
        for place, part in parts
    )
    whole = (_check_versions(document, data, minor), _check_manifests(document, data), _check_helm(document, data))
    return sort_problems([*chain.from_iterable(whole), *of_parts])


def _check_versions(document: Document, data: dict[str, Any], minor: Minor) -> Iterator[Problem]:
    shown = minor_text(minor)
    if minor < OLDEST_KUBERNETES:
        yield document.problem(
            ("kubernetes_version",),
            f"Kubernetes {shown} is older than any that iecpod can configure",
            f"use {minor_text(OLDEST_KUBERNETES)} or later",
            rule="release-kubernetes",
        )
    if minor > NEWEST_KUBERNETES:
        yield document.problem(
            ("kubernetes_version",),
            f"Kubernetes {shown} is newer than any whose kubeadm configuration iecpod knows",
            f"use up to {minor_text(NEWEST_KUBERNETES)}, or a newer iecpod",
            rule="release-kubernetes",
        )
    if data["runtime"] == "docker" and minor > _LAST_WITH_DOCKER:
        yield document.problem(
            ("runtime",),
            f"Kubernetes {shown} does not run on docker",
            f"use containerd, or Kubernetes up to {minor_text(_LAST_WITH_DOCKER)}",
            rule="release-runtime",
        )
    if not _is_date(data.get("supported_until", "2000-01-01")):
        yield document.problem(
            ("supported_until",),
            f"{data['supported_until']} is no day of a calendar",
            "write it as YEAR-MONTH-DAY",
            rule="release-date",
        )
    for name in ("pause_image", "nginx_image", "kube_router_image") if "bundle" in data else ():
        if digest_of(data.get(name, "")):
            yield document.problem(
                (name,),
                "this image is made here of packages, and has no digest beforehand",
                f"write {without_digest(data[name])}",
                rule="release-image",
            )
    if data.get("base_os") in data.get("variants", {}):
        yield document.problem(
            ("variants", data["base_os"]),
            "it is the operating system of the release itself",
            "name another one, or take it out",
            rule="release-variant",
        )


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_manifests(document: Document, data: dict[str, Any]) -> Iterator[Problem]:
    seen = set[str]()
    for place in _manifest_lists(data):
        for index, manifest in enumerate(data[place[0]][place[1]]):
            if manifest["name"] in seen:
                yield document.problem(
                    (*place, index, "name"),
                    f"a manifest above is named {manifest['name']!r}, too",
                    "give each a name of its own: --manifest knows it by that",
                    rule="release-manifest",
                )
            seen.add(manifest["name"])
    for section in cni_sections(data):
        if "containers" in data[section]:
            yield from find_repeated(document, (section, "containers"))


def cni_sections(data: dict[str, Any]) -> tuple[str, ...]:
    """The keys that say something of a pod network: of what the schema allows, all that is no value of a release."""
    known = {"variants", *(value.name for value in dataclasses.fields(Release))}
    return tuple(sorted(key for key in data if key not in known))


def _manifest_lists(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for section in cni_sections(data):
        for key, value in sorted(data[section].items()):
            if isinstance(value, list) and key != "containers":
                yield section, key


def _check_helm(document: Document, data: dict[str, Any]) -> Iterator[Problem]:
    helm = data.get("helm", {})
    for arch in helm.get("location", {}):
        if arch not in {**helm.get("sha256", {}), **helm.get("sha256sums", {})}:
            yield document.problem(
                ("helm", "location", arch),
                "nothing says what this archive must be",
                f"write its digest as helm.sha256.{arch}",
                rule="release-helm",
            )


def _check_packages(
    document: Document, place: tuple[str | int, ...], part: dict[str, Any], version: str
) -> Iterator[Problem]:
    for index, package in enumerate(part.get("packages", ())):
        name, _, pinned = package.partition("=")
        if name in _PROGRAMS and pinned.partition("-")[0] != version:
            found = f"is {pinned}" if pinned else "is of any version"
            yield document.problem(
                (*place, "packages", index),
                f"{name} {found}, and kubernetes_version is {version}",
                f"pin it: {name}={version}-*",
                rule="release-version-mismatch",
            )


def _check_repositories(
    document: Document, place: tuple[str | int, ...], part: dict[str, Any], minor: Minor
) -> Iterator[Problem]:
    seen = set[str]()
    for index, repository in enumerate(part.get("repositories", ())):
        here = (*place, "repositories", index)
        found = _PER_MINOR.search(repository["uri"])
        if found and (int(found[1]), int(found[2])) != minor:
            yield document.problem(
                (*here, "uri"),
                f"the repository is for Kubernetes {found[1]}.{found[2]} alone, and kubernetes_version is of "
                f"{minor[0]}.{minor[1]}",
                "change the version in the address, and in key_url",
                rule="release-version-mismatch",
            )
        if repository["name"] in seen:
            yield document.problem(
                (*here, "name"),
                f"a repository above is named {repository['name']!r}, too",
                "give each a name of its own: it names a file",
                rule="release-repository",
            )
        seen.add(repository["name"])
