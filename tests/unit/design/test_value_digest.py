"""Digests of design values: equal for equal values, and for nothing whose text may differ from run to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from iecpod.design.value_digest import value_digest
from iecpod.model import Arch
from iecpod.release.file import load_release

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Value:
    arch: Arch
    cidr: IPv4Network
    names: frozenset[str]
    extra: object = None


def _value(**changes: object) -> Value:
    values = {"arch": Arch.X86_64, "cidr": IPv4Network("10.0.0.0/8"), "names": frozenset("abc"), **changes}
    return Value(**values)  # type: ignore[arg-type]


def test_equal_values_have_equal_digests() -> None:
    assert value_digest(_value()) == value_digest(_value(names=frozenset("cba")))
    assert value_digest({"a": 1, ("b", 2): (3,)}) == value_digest({("b", 2): [3], "a": 1})


@pytest.mark.parametrize(
    "change",
    [{"arch": Arch.AARCH64}, {"cidr": IPv4Network("10.0.0.0/9")}, {"names": frozenset("ab")}, {"extra": Path("/x")}],
)
def test_each_part_counts(change: dict[str, object]) -> None:
    assert value_digest(_value(**change)) != value_digest(_value())


def test_what_has_no_lasting_text_has_no_digest() -> None:
    with pytest.raises(TypeError, match="object has no digest"):
        value_digest(_value(extra=object()))


@pytest.mark.parametrize("name", ["k8s-1.37-go", "debian12", "k8s-1.37", "iec-r1"])
def test_releases_have_one(name: str) -> None:
    release = load_release(name, ROOT / "iecpod/releases", ROOT / "schemas")
    assert value_digest(release) == value_digest(load_release(name, ROOT / "iecpod/releases", ROOT / "schemas"))
    assert value_digest(replace(release, kubernetes_version="0.1.2")) != value_digest(release)
