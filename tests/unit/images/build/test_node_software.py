"""How what nodes are given is made: what needs no compiled program, beside the compiler."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.build import node_software
from iecpod.model import Arch
from iecpod.release.file import load_release
from tests.fakes import RecordingReporter
from tests.unit.descriptors.broken_pod import ROOT, SCHEMAS_DIR


def make_software(tmp_path: Path, reporter: RecordingReporter | None = None) -> None:
    release = load_release("k8s-1.37-go", ROOT / "iecpod/releases", SCHEMAS_DIR)
    node_software.ensure_software(Cache(tmp_path, reporter or RecordingReporter()), release, Arch.X86_64, "")


def test_trees_are_made_beside_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, layer = threading.Event(), threading.Event()

    def compile_last(*_arguments: object) -> None:
        assert tree.wait(60) and layer.wait(60)
        raise ImageError("both were there")

    monkeypatch.setattr(node_software, "ensure_rootfs", lambda *_arguments: tree.set())
    monkeypatch.setattr(node_software, "ensure_layer", lambda *_arguments: layer.set())
    monkeypatch.setattr(node_software, "_compile", compile_last)
    with pytest.raises(ImageError, match="both were there"):
        make_software(tmp_path)


@pytest.mark.parametrize("error", [ImageError("no mirror answers"), OSError("no mirror answers")])
def test_a_tree_that_fails_early_is_reported_and_does_not_end_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    reported = threading.Event()
    reporter = RecordingReporter()
    monkeypatch.setattr(
        reporter, "warn", lambda line: reported.set() if "no mirror answers; it is tried" in line else None
    )

    def fail(*_arguments: object) -> None:
        raise error

    def compile_last(*_arguments: object) -> None:
        assert reported.wait(60)
        raise ImageError("the compiler went on")

    monkeypatch.setattr(node_software, "ensure_rootfs", fail)
    monkeypatch.setattr(node_software, "_compile", compile_last)
    with pytest.raises(ImageError, match="the compiler went on"):
        make_software(tmp_path, reporter)
