"""Files of a pod network on nodes: the scripts that put and check them, run here."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from iecpod.cni.bridge import Bridge
from iecpod.deploy.node.cni_files import CniFiles
from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.errors import CommandFailed
from iecpod.ports import CommandResult
from tests.fakes import FakeShell, fake_phase_tools

UNIT = "routes.service"


class Node:
    """A shell that runs scripts on this machine, with a systemctl of its own, which keeps what it is asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        (directory / "bin").mkdir()
        program = directory / "bin/systemctl"
        said = f"test $1 != is-active || cat {directory}/state"
        program.write_text(f'#!/bin/sh\necho "$*" >> {self.log}\n{said}\ntest ! -e {directory}/failed\n')
        program.chmod(0o755)
        (directory / "state").write_text("active\n")
        self.shell = FakeShell().reply(("sh",), self._run)

    def _run(self, argv: Sequence[str], stdin: bytes) -> CommandResult:
        environment = {**os.environ, "PATH": f"{self.directory}/bin:{os.environ['PATH']}"}
        done = subprocess.run(argv, input=stdin, capture_output=True, env=environment, check=False)
        return CommandResult(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


class FilesBelow(Bridge):
    """A CNI whose files are below a directory."""

    node_unit = UNIT

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def node_files(self, cluster: DesiredCluster, node: ClusterNode) -> dict[str, str]:
        return {
            f"{self.directory}/etc/cni/net.d/x.conflist": '{"a": "$b"}\n',
            f"{self.directory}/etc/x.service": "[Unit]\n",
        }


def network_of(cluster: DesiredCluster, node: Node) -> CniFiles:
    return CniFiles(dataclasses.replace(cluster, cni=FilesBelow(node.directory)), {"iec01": node.shell})


def test_files_are_put_whole_and_the_unit_is_started(cluster: DesiredCluster, node: Node) -> None:
    network = network_of(cluster, node)
    assert not network.is_in_place(fake_phase_tools().waits)
    node.log.unlink()
    for _ in range(2):
        network.install(fake_phase_tools().node_times)
    assert {path.name: path.read_text() for path in (node.directory / "etc").rglob("*") if path.is_file()} == {
        "x.conflist": '{"a": "$b"}\n',
        "x.service": "[Unit]\n",
    }
    assert node.log.read_text().splitlines() == [f"enable --quiet {UNIT}", f"restart {UNIT}"] * 2
    assert network.is_in_place(fake_phase_tools().waits)


def test_a_file_that_was_edited_or_a_unit_that_does_not_run_is_not_in_place(
    cluster: DesiredCluster, node: Node
) -> None:
    network = network_of(cluster, node)
    network.install(fake_phase_tools().node_times)
    (node.directory / "etc/x.service").write_text("[Unit]\n\n")
    assert not network.is_in_place(fake_phase_tools().waits)
    network.install(fake_phase_tools().node_times)
    assert network.is_in_place(fake_phase_tools().waits)
    (node.directory / "failed").touch()
    (node.directory / "state").write_text("failed\n")
    assert not network.is_in_place(fake_phase_tools().waits)
    with pytest.raises(CommandFailed):
        network.install(fake_phase_tools().node_times)
