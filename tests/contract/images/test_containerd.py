"""What is rendered for containerd, read by the containerd of the release."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iecpod.release.file import load_release
from iecpod.release.image_reference import by_digest
from iecpod.render.node_files import render_node_files
from tests.compiled import find_go_program

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["k8s-1.37", "k8s-1.37-go"])
def test_configuration_is_understood(name: str, tmp_path: Path) -> None:
    containerd = find_go_program("containerd")
    if containerd is None:
        pytest.skip("containerd 2 has not been compiled on this machine")
    release = load_release(name, ROOT / "iecpod/releases", ROOT / "schemas")
    config = tmp_path / "config.toml"
    config.write_text(render_node_files(release)["/etc/containerd/config.toml"])
    done = subprocess.run(
        [containerd, "--config", config, "config", "dump"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "unknown key" not in done.stderr and "deprecated" not in done.stderr
    lines = {line.strip() for line in done.stdout.splitlines()}
    assert {
        f"sandbox = '{by_digest(release.pause_image)}'",
        "config_path = '/etc/containerd/certs.d'",
        "stats_collect_period = '10s'",
        "SystemdCgroup = true",
        "bin_dirs = ['/opt/cni/bin']",
        "conf_dir = '/etc/cni/net.d'",
    } <= lines
