"""Disks as the real tools see them: partitions, boot entry and files of a small tree, without a guest."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from iecpod.errors import ImageError
from iecpod.images.build.bake import bake_tree
from iecpod.images.build.disk import build_disk
from iecpod.images.build.node_software import Software
from iecpod.images.build.rootfs import root_uuid
from iecpod.images.confinement.tool import run_tool
from iecpod.model import Arch
from iecpod.release.file import load_release

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="images are built by root")

ROOT = Path(__file__).parents[3]
_MIB = 1024 * 1024
_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"


def run(*argv: str | Path) -> str:
    return subprocess.run([str(part) for part in argv], check=True, capture_output=True, text=True).stdout


def make_tree(tree: Path, loader: str) -> Path:
    for name, content in {
        "boot/vmlinuz-6.1.0-9": "old kernel",
        "boot/vmlinuz-6.1.0-10": "kernel",
        "boot/initrd.img-6.1.0-9": "old initrd",
        "boot/initrd.img-6.1.0-10": "initrd",
        f"usr/lib/systemd/boot/efi/{loader}": "loader",
        "etc/owned": "owned",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)
    os.chown(tree / "etc/owned", 1000, 1001)
    (tree / "etc/owned").chmod(0o4750)
    (tree / "bin").symlink_to("usr/bin")
    return tree


@pytest.mark.parametrize(
    ("arch", "loader", "fallback", "arguments", "root_type"),
    [
        (
            Arch.X86_64,
            "systemd-bootx64.efi",
            "BOOTX64.EFI",
            "console=ttyS0 tsc=reliable",
            "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
        ),
        (
            Arch.AARCH64,
            "systemd-bootaa64.efi",
            "BOOTAA64.EFI",
            "console=ttyAMA0",
            "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
        ),
    ],
)
def test_disk_boots_the_newest_kernel_of_the_tree(
    tmp_path: Path, arch: Arch, loader: str, fallback: str, arguments: str, root_type: str
) -> None:
    tree = make_tree(tmp_path / "tree", loader)
    image, size_bytes = build_disk(tree, tmp_path, arch, ["apparmor=0"], tmp_path / "log")
    facts = json.loads(run("qemu-img", "info", "--output=json", image))
    assert (facts["format"], facts["virtual-size"]) == ("qcow2", size_bytes)
    raw = tmp_path / "check.raw"
    run("qemu-img", "convert", "-O", "raw", image, raw)

    table = json.loads(run("sfdisk", "--json", raw))["partitiontable"]
    assert table["label"] == "gpt"
    assert [entry["type"] for entry in table["partitions"]] == [_ESP, root_type]
    esp, root = (entry["start"] * 512 for entry in table["partitions"])

    def read(name: str) -> str:
        return run("mtype", "-i", f"{raw}@@{esp}", f"::{name}")

    assert (read("/vmlinuz"), read("/initrd.img")) == ("kernel", "initrd")
    assert read(f"/EFI/BOOT/{fallback}") == "loader"
    assert read("/loader/loader.conf") == "timeout 0\n"
    assert read("/loader/entries/debian.conf").splitlines()[1:] == [
        "linux /vmlinuz",
        "initrd /initrd.img",
        f"options root=UUID={root_uuid(arch)} rw loglevel=6 {arguments} apparmor=0",
    ]

    part = tmp_path / "root.ext4"
    run("dd", f"if={raw}", f"of={part}", "bs=1M", f"skip={root // _MIB}", "status=none")
    run("e2fsck", "-f", "-n", part)
    assert f"UUID:          {root_uuid(arch)}" in run("dumpe2fs", "-h", part)
    status = run("debugfs", "-R", "stat /etc/owned", part)
    assert "Mode:  04750" in status
    assert "User:  1000   Group:  1001" in status
    assert run("debugfs", "-R", "cat /etc/owned", part) == "owned"
    assert 'Fast link dest: "usr/bin"' in run("debugfs", "-R", "stat /bin", part)


def test_tree_without_a_kernel(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", "systemd-bootx64.efi")
    for kernel in (tree / "boot").glob("vmlinuz-*"):
        kernel.unlink()
    with pytest.raises(ImageError, match="the tree has no kernel in /boot"):
        build_disk(tree, tmp_path, Arch.X86_64, [], tmp_path / "log")


@pytest.mark.parametrize(
    "name", ["boot/vmlinuz-6.1.0-10", "boot/initrd.img-6.1.0-10", "usr/lib/systemd/boot/efi", "boot"]
)
def test_a_link_that_leads_out_of_the_tree_is_not_read(tmp_path: Path, name: str) -> None:
    tree = make_tree(tmp_path / "tree", "systemd-bootx64.efi")
    outside = tmp_path / "outside"
    (tree / name).rename(outside)
    (tree / name).symlink_to(outside)
    with pytest.raises(ImageError):
        build_disk(tree, tmp_path, Arch.X86_64, [], tmp_path / "log")


@pytest.mark.parametrize("link", ["etc/containerd", "etc", "etc/systemd"])
def test_no_file_of_a_node_is_written_outside_the_tree(tmp_path: Path, link: str) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (tree / link).parent.mkdir(parents=True)
    (tree / link).symlink_to(outside)
    release = load_release("debian12", ROOT / "iecpod/releases", ROOT / "schemas")
    with pytest.raises(ImageError, match=r"cannot be written in the tree: File exists"):
        bake_tree(tree, release, Software(tmp_path / "software", ()), tmp_path / "log")
    assert list(outside.iterdir()) == []


def test_a_kernel_without_end_fills_no_disk(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", "systemd-bootx64.efi")
    os.truncate(tree / "boot/vmlinuz-6.1.0-10", 1 << 40)
    with pytest.raises(ImageError) as caught:
        build_disk(tree, tmp_path, Arch.X86_64, [], tmp_path / "log")
    assert caught.value.cause == "/boot/vmlinuz-6.1.0-10 of the tree has 1048576 MiB"
    assert not (tmp_path / "esp/vmlinuz").exists() or (tmp_path / "esp/vmlinuz").stat().st_size == 0


def test_a_tree_that_is_too_deep_makes_no_disk(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", "systemd-bootx64.efi")
    run("sh", "-c", 'cd "$0" && for i in $(seq 3000); do mkdir a && cd -P a; done', tree)
    try:
        with pytest.raises(ImageError, match="the tree cannot be read: File name too long"):
            build_disk(tree, tmp_path, Arch.X86_64, [], tmp_path / "log")
    finally:
        run("rm", "-rf", tree)


def test_failure_brings_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        run_tool(["sh", "-c", "echo one; echo two >&2; exit 7"], purpose="trying", log_path=tmp_path / "log")
    assert caught.value.cause == "trying: `sh` exited with 7\none\ntwo"
    assert str(tmp_path / "log") in caught.value.remedy


def test_full_disk_is_seen_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        run_tool(["sh", "-c", "cp /proc/version /dev/full"], purpose="trying", log_path=tmp_path / "log")
    assert caught.value.remedy == "free some disk space on the file system of the cache and run again"


def test_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        run_tool(["iecpod-no-such-program"], purpose="trying", log_path=tmp_path / "log")
    assert "iecpod-no-such-program" in caught.value.cause
    assert "bootstrap.sh" in caught.value.remedy


def test_tool_runs_without_a_network_unless_it_asks_for_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run_tool(["ip", "-oneline", "link"], purpose="looking", log_path=log)
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["lo:"]
    run_tool(["readlink", "/proc/self/ns/net"], purpose="looking", log_path=log, network=True)
    assert log.read_text().splitlines()[-1] == str(Path("/proc/self/ns/net").readlink())
