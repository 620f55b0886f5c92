"""What libvirt answers in a unit test at the URIs that the command line takes."""

from __future__ import annotations

from pathlib import Path

import libvirt
import pytest

#: iecpod opens it; what is there is libvirt's own example, unless a test puts its own in the place of it.
TEST_URI = "test:///default"


_OPEN = {name: getattr(libvirt, name) for name in ("open", "openReadOnly")}


def put_in_place(monkeypatch: pytest.MonkeyPatch, node_xml: str, directory: Path) -> None:
    """At `TEST_URI` is the host that the XML describes, for libvirt's test driver."""
    node = directory / "node.xml"
    node.write_text(node_xml)
    _lead(monkeypatch, f"test://{node}")


def take_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """No libvirt answers, at any URI."""
    take_to(monkeypatch, Path("/nonexistent"))


def take_to(monkeypatch: pytest.MonkeyPatch, socket: Path) -> None:
    """Whoever listens there is called, at any URI."""
    _lead(monkeypatch, f"qemu+unix:///system?socket={socket}")


def _lead(monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    for name, original in _OPEN.items():
        monkeypatch.setattr(libvirt, name, lambda _uri, original=original: original(to))
