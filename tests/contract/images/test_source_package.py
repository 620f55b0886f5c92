"""Debian source packages are unpacked with their patches by a dpkg-source that is confined."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from iecpod.images.build.debian_kubernetes import unpack_source

PATCH = """\
--- a/hello.go
+++ b/hello.go
@@ -1 +1 @@
-package upstream
+package debian
"""
CONTROL = """\
Source: hello
Maintainer: nobody <nobody@example.org>
Standards-Version: 4.6.2

Package: hello
Architecture: all
Description: for a test
"""
CHANGELOG = "hello (1.20.2-1) unstable; urgency=low\n\n  * x\n\n -- a <a@b.c>  Thu, 14 Jan 2021 00:00:00 +0000\n"


def make_source_package(directory: Path) -> Path:
    """Its description; by the programs of this host."""
    tree = directory / "hello-1.20.2"
    (tree / "debian/source").mkdir(parents=True)
    (tree / "debian/patches").mkdir()
    (tree / "hello.go").write_text("package upstream\n")
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    pack = ["tar", "-czf", "hello_1.20.2.orig.tar.gz", "--exclude=debian", tree.name]
    subprocess.run(pack, cwd=directory, check=True)
    (tree / "debian/source/format").write_text("3.0 (quilt)\n")
    (tree / "debian/control").write_text(CONTROL)
    (tree / "debian/changelog").write_text(CHANGELOG)
    (tree / "debian/patches/series").write_text("debian.patch\n")
    (tree / "debian/patches/debian.patch").write_text(PATCH)
    subprocess.run(["dpkg-source", "--build", tree.name], cwd=directory, check=True, capture_output=True)
    return directory / "hello_1.20.2-1.dsc"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can confine a root")
def test_a_source_package_is_unpacked_with_its_patches(tmp_path: Path) -> None:
    description = make_source_package(tmp_path / "made")
    tree = tmp_path / "work/gopath/src/hello"
    unpack_source(description, tree, tmp_path / "log")
    assert (tree / "hello.go").read_text() == "package debian\n"
    assert (tree / "run.sh").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tree.parent.iterdir()] == ["hello"]
