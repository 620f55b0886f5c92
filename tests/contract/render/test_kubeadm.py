"""What is rendered for kubeadm, read by the kubeadm of the release."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from iecpod.release.file import load_release
from iecpod.render.kubeadm import render_images_config
from iecpod.render.low_overhead import PATCHES_DIR, render_patches
from iecpod.yaml.document import load_yaml
from tests.compiled import find_go_program

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/unit/golden/releases"
RENDERED = [
    pytest.param(GOLDEN / release / file, id=f"{release.split('/')[0]}-{file}")
    for release in ("k8s-1.37/ubuntu2404-x86_64", "k8s-1.37-go/debian13-x86_64")
    for file in ("init.yaml", "init-low-overhead.yaml", "join.yaml", "join-low-overhead.yaml")
]

#: Arguments: kubeadm, its configuration, patches, where it looks for them, and where the manifests are to go. What
#: kubeadm writes below /etc is in a file system of its own.
_WRITE_MANIFESTS = """
mount -t tmpfs tmpfs /etc
mkdir -p "${4%/*}"
cp -r "$3" "$4"
"$1" init phase control-plane all --config "$2"
"$1" init phase etcd local --config "$2"
cp -r /etc/kubernetes/manifests "$5"
"""


@pytest.fixture
def kubeadm(tmp_path: Path) -> Path:
    compiled = find_go_program("kubernetes")
    if compiled is None:
        pytest.skip("Kubernetes 1.37 has not been compiled on this machine")
    program = tmp_path / "kubeadm"
    program.symlink_to(compiled)
    return program


@pytest.mark.parametrize("config", RENDERED)
def test_configuration_is_valid(kubeadm: Path, config: Path) -> None:
    """kubeadm 1.37 makes clusters of 1.36, too."""
    argv = [str(kubeadm), "config", "validate", "--config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert "deprecated" not in done.stderr and "unknown" not in done.stderr


def test_patches_are_applied_to_the_static_pods(kubeadm: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    patches = tmp_path / "patches"
    patches.mkdir()
    for name, text in render_patches("1.37.2").items():
        (patches / name).write_text(text)
    config = GOLDEN / "k8s-1.37-go/debian13-x86_64/init-low-overhead.yaml"
    manifests = tmp_path / "manifests"
    arguments = [str(kubeadm), str(config), str(patches), PATCHES_DIR, str(manifests)]
    argv = ["unshare", "--mount", "--net", "sh", "-euc", _WRITE_MANIFESTS, "write-manifests", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    containers = {path.stem: container_of(path) for path in manifests.iterdir()}
    assert set(containers) == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
    for container in containers.values():
        liveness = container["livenessProbe"]
        probed = tuple(liveness[name] for name in ("timeoutSeconds", "periodSeconds", "failureThreshold"))
        assert probed == (60, 60, 16)
        assert liveness["httpGet"]["path"], "what kubeadm has set is still there"
        assert container["startupProbe"]["timeoutSeconds"] == 60
        assert container.get("readinessProbe", {"periodSeconds": 10})["periodSeconds"] == 10
    assert "--leader-elect=false" in containers["kube-scheduler"]["command"]
    assert "--unsafe-no-fsync=true" in containers["etcd"]["command"]


def container_of(manifest: Path) -> dict[str, Any]:
    data = load_yaml(manifest.read_bytes(), str(manifest)).data
    assert isinstance(data, dict)
    (container,) = data["spec"]["containers"]
    return dict(container)


@pytest.mark.parametrize("name", ["k8s-1.37", "k8s-1.37-go"])
def test_images_are_named_without_a_container_runtime(kubeadm: Path, tmp_path: Path, name: str) -> None:
    """And the same on every host."""
    release = load_release(name, ROOT / "iecpod/releases", ROOT / "schemas")
    (tmp_path / "config.yaml").write_text(render_images_config(release))
    argv = [str(kubeadm), "config", "images", "list", "--config", str(tmp_path / "config.yaml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": "/nowhere"})
    repository = release.image_repository or "registry.k8s.io"
    names = {"coredns": "coredns"} if release.image_repository else {"coredns": "coredns/coredns"}
    listed = [image.rsplit(":", 1) for image in done.stdout.split()]
    programs = [f"kube-{name}" for name in ("apiserver", "controller-manager", "scheduler", "proxy")]
    assert [place for place, _ in listed] == [
        f"{repository}/{names.get(name, name)}" for name in (*programs, "coredns", "pause", "etcd")
    ]
    assert [tag for _, tag in listed[:4]] == [f"v{release.kubernetes_version}"] * 4
    assert release.pause_image.partition("@")[0] == ":".join(listed[5])
