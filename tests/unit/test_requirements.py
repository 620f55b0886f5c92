"""What bootstrap.sh installs from: lock files that fit setup.cfg and pyproject.toml, with a digest for every file."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
LOCKS = ("build", "iecpod")


def entries(lock: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Each requirement with its options."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / f"requirements/{lock}.lock").read_text())
    for line in text.splitlines():
        if not line.lstrip().startswith("#"):
            requirement, *options = line.split(" --hash=")
            yield Requirement(requirement), options


def lines_of(path: str) -> list[str]:
    return [line for line in (ROOT / path).read_text().splitlines() if line and not line.startswith("#")]


def installed(lock: str, python: str) -> dict[str, Version]:
    """By name, what pip installs from it on that Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    found: dict[str, Version] = {}
    for requirement, _ in entries(lock):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.name not in found, f"{requirement.name} is there twice on Python {python}"
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            found[requirement.name] = Version(pin.version)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_has_a_digest_and_none_is_from_elsewhere(lock: str) -> None:
    assert list(entries(lock))
    for requirement, options in entries(lock):
        assert requirement.url is None
        assert options and all(re.fullmatch(r"sha256:[0-9a-f]{64}", option) for option in options), requirement.name


@pytest.mark.parametrize("python", PYTHONS)
def test_requirements_are_met(python: str) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = [
        Requirement(line)
        for line in config["options"]["install_requires"].splitlines()
        if line and not line.startswith("#")
    ]
    locked = installed("iecpod", python)
    assert len(wanted) > 10
    for requirement in [*wanted, *map(Requirement, lines_of("requirements/iecpod.in"))]:
        assert locked[requirement.name] in requirement.specifier, f"{requirement}: run `tox -e lock`"


@pytest.mark.parametrize("python", PYTHONS)
def test_what_builds_is_what_pyproject_asks_for(python: str) -> None:
    asked = re.findall(r'"([^"]+)"', (ROOT / "pyproject.toml").read_text().partition("]\n")[2].partition("\n")[0])
    assert lines_of("requirements/build.in") == asked
    locked = installed("build", python)
    for requirement in map(Requirement, asked):
        assert locked[requirement.name] in requirement.specifier
