"""Newer versions of a release's modules, as texts: which there are, and what of `go.mod` and release file changes.

Values only; `images/build/go/bump.py` asks Go. Sources: Go's module reference (versions, `go list -m -versions`);
Kubernetes' staging repositories, whose v0.X.Y is of Kubernetes 1.X.Y.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KUBERNETES = "k8s.io/kubernetes"

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

#: Keys of a release file that name a module's version, besides its `go.mod`.
_KEYS = {
    "kubernetes": ("description", "kubernetes_version"),
    "etcd": ("etcd_version",),
    "coredns": ("coredns_version",),
    "kube-router": ("kube_router_image",),
}


@dataclass(frozen=True, slots=True)
class Bump:
    """A module and its versions before and after, without the leading `v`."""

    module: str
    old: str
    new: str


def newest_patch(current: str, versions: Iterable[str]) -> str:
    """The newest of the same minor version, which may be `current`; versions that are no releases do not count."""
    parsed = _parse(current)
    found = [known for version in versions if (known := _parse(version)) and known[:2] == (parsed or ())[:2]]
    newest = max([*found, parsed] if parsed else found, default=None)
    return ".".join(map(str, newest)) if newest else current


def bump_kubernetes(go_mod: str, old: str, new: str) -> str:
    """`go.mod` with Kubernetes and its staging repositories, all of one version, at another patch version."""
    (_, *old_rest), (_, *new_rest) = old.split("."), new.split(".")
    staging_old, staging_new = ".".join(("0", *old_rest)), ".".join(("0", *new_rest))
    text = re.sub(rf"(?m)({re.escape(KUBERNETES)} v){re.escape(old)}$", rf"\g<1>{new}", go_mod)
    return re.sub(rf"(?m)((?<![\w.])k8s\.io/[\w.-]+ v){re.escape(staging_old)}(?=$| )", rf"\g<1>{staging_new}", text)


def bump_release(text: str, bumps: Iterable[Bump]) -> str:
    """A release file with the versions of its modules; nothing else of it changes, comments included."""
    for bump in bumps:
        for key in _KEYS.get(bump.module, ()):
            pattern = rf"(?m)^({key}: .*?v?){re.escape(bump.old)}(?![\d.])"
            text = re.sub(pattern, rf"\g<1>{bump.new}", text)
    return text


def bump_connected(text: str, bump: Bump) -> str:
    """The file of a release that fetches packages of the same Kubernetes, at the new patch version.

    Unchanged where it is of another Kubernetes, or `bump` is to another minor version: repositories are of one.
    """
    if _minor(bump.old) != _minor(bump.new) or not _is_of(text, bump.old):
        return text
    old = re.escape(bump.old)
    text = re.sub(rf"(?m)^(kubernetes_version: ){old}$", rf"\g<1>{bump.new}", text)
    return re.sub(rf"(?m)^(\s*- kube(?:adm|let|ctl)=){old}(?=-)", rf"\g<1>{bump.new}", text)


def _is_of(text: str, version: str) -> bool:
    return re.search(rf"(?m)^kubernetes_version: {re.escape(version)}$", text) is not None


def _minor(version: str) -> str:
    return version.rpartition(".")[0]


def parse_versions(answers: str) -> Mapping[str, tuple[str, ...]]:
    """Of lines of `go list -m -versions`: a module, then its versions."""
    return {words[0]: tuple(words[1:]) for line in answers.splitlines() if (words := line.split())}


def _parse(version: str) -> tuple[int, int, int] | None:
    match = _VERSION.fullmatch(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
