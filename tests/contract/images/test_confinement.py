"""Packages of a hostile bundle, installed for real: what their scripts try on this host fails, and all else works."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.build.bake import bake_tree, unpack_tree
from iecpod.images.build.node_software import Software
from iecpod.images.bundle.network_release import ConnectedSources
from iecpod.images.confinement.overlay_xattrs import settle_overlay_marks
from iecpod.images.confinement.program import (
    FOR_A_TREE,
    FOR_CONTAINERD,
    FOR_PACKAGES,
    Confinement,
    Limits,
    of_this_host,
)
from iecpod.images.confinement.tool import run_tool
from iecpod.release.file import load_release
from tests.eventually import eventually
from tests.fakes import RecordingReporter

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can confine a root")

ROOT = Path(__file__).parents[3]
PROGRAMS = (
    *(
        "sh",
        "cat",
        "chmod",
        "chown",
        "cmp",
        "grep",
        "head",
        "install",
        "ln",
        "ls",
        "mkdir",
        "mknod",
        "mount",
        "rm",
        "sleep",
        "dd",
        "wc",
    ),
    *("touch", "umount", "unshare", "env", "tar", "dpkg", "dpkg-deb", "dpkg-split", "dpkg-query", "diff"),
)
SNAPSHOTS = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
#: What dpkg requires, and what the script of a bake calls.
STAND_INS = {
    "ldconfig": "",
    "start-stop-daemon": "",
    "systemctl": 'echo "systemctl $*" >> /called',
    "containerd": f"mkdir -p {SNAPSHOTS}/1/fs\nexec sleep 1000",
    "ctr": f"test -d {SNAPSHOTS}/1/fs || exit 1\n"
    'echo "ctr $*" >> /called\ncase "$*" in *"images ls"*) echo registry.lab/pause:1 ;; esac',
}


def make_tree(tree: Path) -> Path:
    """A root of copies of this host's programs, with what dpkg needs."""
    for directory in (
        "etc/apt",
        "mnt",
        "proc",
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
        "usr/sbin",
        "usr/bin",
        "tmp",
    ):
        (tree / directory).mkdir(parents=True)
    (tree / "var/lib/dpkg/status").touch()
    for link in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / link).mkdir(exist_ok=True)
        (tree / link).symlink_to(f"usr/{link}")
    for program in PROGRAMS:
        path = shutil.which(program)
        assert path is not None, program
        copy_program(path, tree)
    for name, script in STAND_INS.items():
        (tree / "usr/sbin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tree / "usr/sbin" / name).chmod(0o755)
    return tree


def copy_program(path: str, tree: Path) -> None:
    """With its libraries."""
    shutil.copy(path, tree / "usr/bin")
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    for library in (word for word in listed.split() if word.startswith("/")):
        (tree / library.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, tree / library.lstrip("/"))


def make_package(directory: Path, name: str, script: str, files: Mapping[str, str] | None = None) -> Path:
    package = directory / f".{name}"
    for path, content in (files or {}).items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(content)
    (package / "DEBIAN").mkdir(parents=True)
    fields = {
        "Package": name,
        "Version": "1",
        "Architecture": "all",
        "Maintainer": "x <x@lab.example>",
        "Description": "x",
    }
    (package / "DEBIAN/control").write_text("".join(f"{field}: {value}\n" for field, value in fields.items()))
    (package / "DEBIAN/postinst").write_text(f"#!/bin/sh\n{script}")
    (package / "DEBIAN/postinst").chmod(0o755)
    target = directory / f"{name}_1_all.deb"
    build = ["dpkg-deb", "--root-owner-group", "--build", str(package), str(target)]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(package)
    return target


@pytest.fixture(scope="module")
def sound_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("sound") / "tree")


@pytest.fixture
def tree(sound_tree: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound_tree, tmp_path / "tree", symlinks=True)
    return tmp_path / "tree"


@pytest.fixture
def debs(tmp_path: Path) -> Path:
    (tmp_path / "bundle/debs").mkdir(parents=True)
    return tmp_path / "bundle/debs"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def install(tree: Path, debs: Path, log: Path) -> str:
    run_tool(
        ["sh", "-euc", "dpkg --install /mnt/*.deb"],
        purpose="installing",
        log_path=log,
        confined=Confinement(limits=FOR_A_TREE, root=tree, readable={"/mnt": debs}, capabilities=FOR_PACKAGES),
    )
    return log.read_text()


#: Each line is tried by itself, and printed if it works. HOST is a directory of the host, NODE a device in the tree.
ATTEMPTS = """
true
echo x > HOST/written
echo x > /proc/1/root/HOST/written
echo x > /proc/self/root/HOST/written
echo x > /proc/1/cwd/../../../../../../HOST/written
cat HOST/secret
cat /proc/1/root/HOST/secret
cat /etc/shadow
cat /proc/1/root/etc/shadow
mknod /node b 8 0
mknod /node c 1 5
head -c 1 /NODE
mount -t tmpfs tmpfs /mnt
mount -t devtmpfs devtmpfs /mnt
mount -t proc proc /mnt
mount --bind /usr /mnt
mount -o remount,rw /mnt
umount /mnt
umount /proc/sys
touch /mnt/written
echo '|/usr/bin/touch HOST/written' > /proc/sys/kernel/core_pattern
echo /usr/bin/touch > /proc/sys/kernel/modprobe
echo c > /proc/sysrq-trigger
unshare --user true
unshare --mount true
unshare --net true
kill -9 BYSTANDER
cat /proc/BYSTANDER/cmdline
grep -q . /proc/keys
grep -q . /proc/kallsyms
env | grep SECRET
cat /dev/tty
ls /sys/class
grep -v -e face -e ' lo:' -e Inter- /proc/net/dev
ls -d /dev/[a-eg-km-tv-y]d*
"""


def test_a_hostile_package_reaches_nothing_of_this_host(
    tree: Path, debs: Path, tmp_path: Path, bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of this host")
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret").write_text("of this host")
    os.mknod(tree / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    words = {"HOST": str(host), "NODE": "zero", "BYSTANDER": str(bystander.pid)}
    attempts = ATTEMPTS.strip().splitlines()
    script = "".join(
        f"( {line} ) > /dev/null 2>&1 && echo 'it worked: {line.replace(chr(39), '')}'\n" for line in attempts
    )
    for word, meaning in words.items():
        script = script.replace(word, meaning)
    more = """
grep -e CapBnd -e CapEff -e NoNewPrivs -e Seccomp: /proc/self/status
chmod 4777 /proc/self/fd/1 /dev/null
echo reached the end
kill -9 -1
"""
    make_package(debs, "hostile", script + more)
    null = Path("/dev/null").stat().st_mode
    log = tmp_path / "log"
    with pytest.raises(ImageError):  # the last attempt is on all that it sees, dpkg among them
        install(tree, debs, log)
    printed = log.read_text()
    assert "reached the end" in printed
    assert [line for line in printed.splitlines() if "it worked" in line] == ["it worked: true"]
    wanted = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 18, 31))
    assert f"CapEff:\t{wanted:016x}\nCapBnd:\t{wanted:016x}\nNoNewPrivs:\t1\nSeccomp:\t2" in printed
    assert sorted(path.name for path in host.iterdir()) == ["secret"]
    assert bystander.poll() is None
    assert Path("/dev/null").stat().st_mode == null and log.stat().st_mode & 0o7000 == 0


#: What containerd could try that a script cannot: it may mount.
MORE_ATTEMPTS = """
umount /proc/sys
umount /dev
mount -o remount,bind,rw /proc/sys
mount -o remount,rw /mnt
mount -o remount,bind,dev /
mount -t devtmpfs devtmpfs /tmp
mount -t ext4 /zero /tmp
mount -t proc proc /tmp && echo x > /tmp/sys/kernel/core_pattern
mount --bind / /tmp && head -c 1 /tmp/zero
mknod /tmp/node b 8 0
unshare --user true
"""


def test_containerd_mounts_inside_alone(tree: Path, debs: Path, tmp_path: Path) -> None:
    os.mknod(tree / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    lines = MORE_ATTEMPTS.strip().splitlines()
    script = "".join(f"( {line} ) > /dev/null 2>&1 && echo 'it worked: {line}'\n" for line in lines)
    run_tool(
        ["sh", "-c", f"{script}\nmount -t tmpfs tmpfs /tmp && touch /tmp/x && umount /tmp && echo mounted"],
        purpose="loading",
        log_path=tmp_path / "log",
        confined=Confinement(limits=FOR_A_TREE, root=tree, readable={"/mnt": debs}, capabilities=FOR_CONTAINERD),
    )
    assert (tmp_path / "log").read_text() == "mounted\n"
    assert Path("/proc/sys/kernel/core_pattern").read_text() != "x\n"


#: As containerd unpacks the second layer of an image that has another directory in the place of one of the first.
_UNPACK = """
mkdir -p /layers/1/fs/opt/old /layers/2/fs /layers/2/work /image
touch /layers/1/fs/opt/hidden /layers/1/fs/kept /layers/1/fs/removed
mount -t overlay -o userxattr,lowerdir=/layers/1/fs,upperdir=/layers/2/fs,workdir=/layers/2/work overlay /image
rm -r /image/opt /image/removed
mkdir /image/opt
touch /image/opt/new
ls /image/opt
umount /image
"""
_MOUNT = 'mount -t overlay -o "ro,lowerdir=$1/2/fs:$1/1/fs" overlay "$2" && cd "$2" && ls -d * opt/*'


def test_layers_hide_on_a_guest_what_they_hide_where_they_are_unpacked(tree: Path, tmp_path: Path) -> None:
    confined = Confinement(limits=FOR_A_TREE, root=tree, capabilities=FOR_CONTAINERD)
    run_tool(["sh", "-euc", _UNPACK], purpose="unpacking", log_path=tmp_path / "log", confined=confined)
    assert (tmp_path / "log").read_text() == "new\n"
    settle_overlay_marks(tree, "/layers")
    marks = {name for path in (tree / "layers").rglob("*") for name in os.listxattr(path, follow_symlinks=False)}
    assert marks == {"trusted.overlay.opaque"}
    (tmp_path / "image").mkdir()
    argv: list[str | Path] = ["unshare", "--mount", "sh", "-c", _MOUNT, "guest", tree / "layers", tmp_path / "image"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["kept", "opt", "opt/new"]


def test_marks_are_looked_for_inside_alone(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    os.setxattr(tmp_path / "host", "user.overlay.opaque", b"y")
    (tree / "layers").mkdir()
    (tree / "layers/link").symlink_to(tmp_path / "host")
    settle_overlay_marks(tree, "layers")
    (tree / "way").symlink_to(tmp_path)
    with pytest.raises(ImageError, match=r"the images in way/host of the tree cannot be read"):
        settle_overlay_marks(tree, "way/host")
    assert os.listxattr(tmp_path / "host") == ["user.overlay.opaque"]


def test_capabilities_that_a_script_gives_a_file_are_those_of_the_guest(tree: Path, debs: Path, tmp_path: Path) -> None:
    """In a namespace of users the kernel notes whose root they are for; outside it is as if there had been none."""
    setcap = shutil.which("setcap")
    if setcap is None:
        pytest.skip("libcap2-bin is not installed")
    copy_program(setcap, tree)
    make_package(debs, "ping", "setcap cap_net_raw+ep /usr/bin/ping\n", {"usr/bin/ping": "x"})
    install(tree, debs, tmp_path / "log")
    (tmp_path / "file").touch()
    subprocess.run([setcap, "cap_net_raw+ep", tmp_path / "file"], check=True)
    inside, outside = (os.getxattr(path, "security.capability") for path in (tree / "usr/bin/ping", tmp_path / "file"))
    assert inside == outside


def test_a_package_that_means_well_is_installed_as_it_says(tree: Path, debs: Path, tmp_path: Path) -> None:
    script = """set -eu
chown 1000:1001 /usr/share/lab/file
chmod 4750 /usr/share/lab/file
mkdir -p /etc/lab /var/lib/lab
echo configured > /etc/lab/conf
( umask 077; echo x > /var/lib/lab/private; chown 33 /var/lib/lab/private; cat /var/lib/lab/private )
ln -s ../share/lab/file /usr/bin/lab
head -c 1 /dev/zero > /dev/null
test "$(cat /proc/sys/kernel/ostype)" = Linux
grep -q MemTotal /proc/meminfo
echo a | cat - /dev/stdin < /dev/null > /dev/null
touch /tmp/x /run/x /dev/shm/x
"""
    make_package(debs, "lab", script, {"usr/share/lab/file": "content"})
    install(tree, debs, tmp_path / "log")
    status = (tree / "usr/share/lab/file").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1000, 1001, 0o4750)
    status = (tree / "var/lib/lab/private").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (33, 0, 0o600)
    assert (tree / "etc/lab/conf").read_text() == "configured\n" and (
        tree / "etc/lab/conf"
    ).stat().st_mode & 0o777 == 0o644
    assert "Status: install ok installed" in (tree / "var/lib/dpkg/status").read_text()
    for directory in ("tmp", "run", "dev", "proc"):
        assert list((tree / directory).iterdir()) == []


def test_a_bake_is_confined(tree: Path, debs: Path, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    make_package(debs, "hostile", f"echo x > {host}/written || echo x > /inside\n")
    for directory, name in (("bin", "kubeadm"), ("images", "images.tar")):
        (debs.parent / directory).mkdir()
        (debs.parent / directory / name).write_text("x")
    release = load_release("debian12", ROOT / "iecpod/releases", ROOT / "schemas")
    bake_tree(tree, release, Software(debs.parent, ("registry.lab/pause:1",)), tmp_path / "log")
    assert list(host.iterdir()) == [] and (tree / "inside").read_text() == "x\n"
    assert (tree / "usr/bin/kubeadm").stat().st_mode & 0o777 == 0o755
    assert (tree / "etc/containerd/config.toml").is_file() and not (tree / "etc/containerd/import.toml").exists()
    called = (tree / "called").read_text()
    assert "ctr --namespace k8s.io images import /mnt/images/images.tar" in called
    assert list((tree / "mnt").iterdir()) == []


def test_a_script_that_fails_ends_the_bake_with_its_last_words(tree: Path, debs: Path, tmp_path: Path) -> None:
    make_package(debs, "broken", "echo last words; exit 3\n")
    with pytest.raises(ImageError) as caught:
        install(tree, debs, tmp_path / "log")
    assert "last words" in caught.value.cause


def test_what_a_script_prints_does_not_fill_the_disk(
    tree: Path, debs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iecpod.images.confinement.tool._MOST_OUTPUT_BYTES", 4096)
    make_package(debs, "loud", "head -c 1000000 /dev/zero\n")
    install(tree, debs, tmp_path / "log")
    assert (tmp_path / "log").stat().st_size == 4096


def test_links_of_a_tree_in_the_places_that_are_mounted_over(tree: Path, debs: Path, tmp_path: Path) -> None:
    """They lead somewhere inside, or the program does not start."""
    host = tmp_path / "host"
    host.mkdir()
    make_package(debs, "lab", "touch /run/x /dev/shm/x /tmp/x\n")
    for name in ("run", "tmp", "dev"):
        shutil.rmtree(tree / name, ignore_errors=True)
        (tree / name).symlink_to(host)
    with pytest.raises(ImageError, match="the program cannot be confined here"):
        install(tree, debs, tmp_path / "log")
    assert list(host.iterdir()) == []


def add(tar: tarfile.TarFile, name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **fields: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, link, 0o644
    for field, value in fields.items():
        setattr(entry, field, value)
    tar.addfile(entry)


def test_a_tree_is_unpacked_nowhere_else(tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret").write_text("of this host")
    with tarfile.open(tmp_path / "rootfs.tar", "w") as tar:
        add(tar, "owned", uid=1000, gid=1001, mode=0o4755)
        add(tar, "null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
        add(tar, "upwards", tarfile.SYMTYPE, "../host")
        add(tar, "upwards/through-link")
        add(tar, "absolute", tarfile.SYMTYPE, str(host))
        add(tar, "absolute/through-link")
        add(tar, "../host/by-name")
        add(tar, f"{host}/by-path")
        add(tar, "hard", tarfile.LNKTYPE, "../host/secret")
        add(tar, "absolute-hard", tarfile.LNKTYPE, str(host / "secret"))
        add(tar, "secret", tarfile.SYMTYPE, str(host / "secret"))
        add(tar, "secret")
    with contextlib.suppress(ImageError):  # tar reports what it refused
        unpack_tree(tmp_path / "rootfs.tar", tmp_path / "tree", tmp_path / "log")
    assert [path.name for path in host.iterdir()] == ["secret"]
    assert (host / "secret").read_text() == "of this host" and (host / "secret").stat().st_nlink == 1
    status = (tmp_path / "tree/owned").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1000, 1001, 0o4755)
    assert (tmp_path / "tree/null").stat().st_rdev == os.makedev(1, 3)


def test_a_tree_keeps_what_its_files_may_do(tmp_path: Path) -> None:
    for program in ("setcap", "getcap"):
        if shutil.which(program) is None:
            pytest.skip("libcap2-bin is not installed")
    (tmp_path / "made").mkdir()
    (tmp_path / "made/ping").touch()
    subprocess.run(["setcap", "cap_net_raw+ep", tmp_path / "made/ping"], check=True)
    os.setxattr(tmp_path / "made/ping", "user.note", b"kept")
    pack = ["tar", "--create", "--xattrs", "--xattrs-include=*", f"--file={tmp_path}/rootfs.tar", "."]
    subprocess.run(pack, cwd=tmp_path / "made", check=True)
    unpack_tree(tmp_path / "rootfs.tar", tmp_path / "tree", tmp_path / "log")
    shown = subprocess.run(["getcap", tmp_path / "tree/ping"], capture_output=True, text=True, check=True).stdout
    assert "cap_net_raw=ep" in shown and os.getxattr(tmp_path / "tree/ping", "user.note") == b"kept"


def test_a_program_of_this_host_reads_and_writes_what_it_is_given(tmp_path: Path) -> None:
    given, taken = tmp_path / "given", tmp_path / "taken"
    given.write_text("content")
    taken.mkdir()
    (tmp_path / "other").write_text("of this host")
    script = f"cat {given} > {taken}/copy; ! cat {tmp_path}/other; ! touch {given}; ! touch /usr/x; ! cat /etc/passwd"
    confined = of_this_host(limits=FOR_A_TREE, readable=[given], writable=[taken], capabilities=())
    run_tool(["sh", "-euc", script], purpose="copying", log_path=tmp_path / "log", confined=confined)
    assert (taken / "copy").read_text() == "content"


def test_a_program_that_is_not_there(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nowhere: No such file or directory"):
        run_tool(
            ["nowhere"], purpose="x", log_path=tmp_path / "log", confined=Confinement(limits=FOR_A_TREE, root=tree)
        )


#: Prints what each call answers where the filter forbids it, and elsewhere.
_CALLS = """
import ctypes, errno, os, sys
sys.path.insert(0, sys.argv[1])
from iecpod.images.confinement.seccomp import forbid_calls
from iecpod.images.confinement.system_calls import gain_nothing_by_exec
gain_nothing_by_exec()
forbid_calls()
libc = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": (250, 321, 272, 56), "aarch64": (219, 280, 97, 220)}[os.uname().machine]
keyctl, bpf, unshare, clone = numbers
forbidden = (keyctl, 0), (bpf, 0), (unshare, 0x10000000), (clone, 0x10000011)
for number, argument in (*forbidden, (435, 0), (425, 1), (unshare, 0x200)):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), ctypes.c_ulong(argument), 0, 0, 0, 0)
    print(errno.errorcode.get(ctypes.get_errno(), "ok") if result < 0 else "ok")
print(os.spawnlp(os.P_WAIT, "true", "true"))
"""


def test_calls_that_take_no_capability_are_filtered(tmp_path: Path) -> None:
    argv = [shutil.which("python3") or "python3", "-c", _CALLS, str(ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["EPERM", "EPERM", "EPERM", "EPERM", "ENOSYS", "ENOSYS", "ok", "0"], done.stderr


def test_kubeadm_of_a_release_is_given_its_configuration_alone(tmp_path: Path) -> None:
    host, work, kubeadm = tmp_path / "host", tmp_path / "work", tmp_path / "kubeadm"
    for directory in (host, work):
        directory.mkdir()
    (host / "secret").write_text("of.this.host/x:1")
    tries = f"cat {host}/secret; touch {host}/x; touch /usr/x; cat /proc/1/root{host}/secret"
    kubeadm.write_text(f'#!/bin/sh\n( {tries} ) 2>/dev/null\ntest -s "$5" && echo registry.lab/pause:1\n')
    kubeadm.chmod(0o755)
    release = load_release("k8s-1.37", ROOT / "iecpod/releases", ROOT / "schemas")
    cache = Cache(tmp_path / "cache", RecordingReporter())
    sources = ConnectedSources(cache=cache, release=release, apt_mirror="", registry_mirrors={})
    assert sources._ask_kubeadm(kubeadm, work) == ["registry.lab/pause:1"]
    assert [path.name for path in host.iterdir()] == ["secret"]


_BAKE_FOR_EVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from iecpod.images.confinement.program import FOR_A_TREE, FOR_CONTAINERD, Confinement
from iecpod.images.confinement.tool import run_tool
confined = Confinement(limits=FOR_A_TREE, root=Path(sys.argv[2]), capabilities=FOR_CONTAINERD)
script = "sleep 98765 & touch /started; sleep 98765"
run_tool(["sh", "-c", script], purpose="x", log_path=Path(sys.argv[3]), confined=confined)
"""


def sleepers() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if process.read_bytes() == b"sleep\x0098765\x00":
                found.add(process.parent.name)
    return found


def test_nothing_runs_on_when_iecpod_is_killed(tree: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _BAKE_FOR_EVER, str(ROOT), str(tree), str(tmp_path / "log")]
    ) as baking:
        assert eventually(lambda: (tree / "started").exists() and len(sleepers()) == 2)
        baking.kill()
    assert eventually(lambda: not sleepers())


#: A minute on a busy host and little room, and what a shell needs.
LITTLE = Limits(seconds=60, stored_bytes=8 * 1024**2, files=500, processes=40, memory_bytes=128 * 1024**2)
_FILL = "for n in $(cat /hundred); do head -c 1000000 /dev/zero > /mnt/$n; done"
_GREEDY = {
    "it ran for more than 3s": "sleep 98765",
    "ran for more than 3s": "while true; do echo x; done",
    "it had more than 40 processes": "for n in $(cat /hundred); do sleep 98765 & done; wait",
    "it stored more than 8.0 MiB": f"{_FILL}; sleep 98765",
    "it stored more than": _FILL,
    "it made more than 500 files": "for d in a b c d e f; do mkdir $d;for n in $(cat /hundred); do >$d/$n; done; done",
    "more than 200 levels deep": "for a in 1 2 3; do for n in $(cat /hundred); do mkdir x; cd x; done; done",
    "took more than 128.0 MiB of memory": "x=xxxx; until [ ${#x} -gt 130000000 ]; do x=$x$x; done; sleep 98765",
}


@pytest.mark.parametrize("reached", _GREEDY)
def test_who_takes_too_much_is_stopped_with_all_its_processes(reached: str, tree: Path, tmp_path: Path) -> None:
    (tree / "hundred").write_text(" ".join(map(str, range(100))))
    limits = dataclasses.replace(LITTLE, seconds=3) if "ran for" in reached else LITTLE
    confined = Confinement(limits=limits, root=tree, capabilities=FOR_PACKAGES)
    with pytest.raises(ImageError) as caught:
        run_tool(["sh", "-c", _GREEDY[reached]], purpose="unpacking", log_path=tmp_path / "log", confined=confined)
    assert caught.value.cause.startswith("unpacking: `sh` was stopped: ") and reached in caught.value.cause
    assert str(tmp_path / "log") in caught.value.remedy and not sleepers()


def test_no_file_is_larger_than_all_may_be(tree: Path, tmp_path: Path) -> None:
    """Also one that has no blocks: who reads it later reads all of its length."""
    script = """
! head -c 9000000 /dev/zero > /mnt/large
test "$(cat /mnt/large | wc -c)" = 8388608
rm /mnt/large
! dd if=/dev/null of=/mnt/sparse bs=1 seek=9000000
! head -c 9000000 /dev/zero > /tmp/x
"""
    confined = Confinement(limits=LITTLE, root=tree, capabilities=FOR_PACKAGES)
    run_tool(["sh", "-euc", script], purpose="x", log_path=tmp_path / "log", confined=confined)
    assert (tmp_path / "log").read_text().count("File too large") == 3
    assert (tree / "mnt/sparse").stat().st_size == 0


def test_what_is_in_memory_is_little(tree: Path, tmp_path: Path) -> None:
    script = "for place in /tmp /run /dev/shm; do ! cat /dev/zero > $place/x; rm $place/x; done"
    confined = Confinement(limits=FOR_A_TREE, root=tree, capabilities=FOR_PACKAGES)
    run_tool(["sh", "-euc", script], purpose="x", log_path=tmp_path / "log", confined=confined)
    assert (tmp_path / "log").read_text().count("No space left on device") == 3


def test_what_a_program_leaves_running_ends_with_it(tree: Path, tmp_path: Path) -> None:
    """Also what has a session of its own and holds no pipe."""
    confined = Confinement(limits=FOR_A_TREE, root=tree, capabilities=FOR_PACKAGES)
    script = "(trap '' HUP TERM; sleep 98765 > /dev/null 2>&1 &) ; touch /ended"
    run_tool(["sh", "-c", script], purpose="x", log_path=tmp_path / "log", confined=confined)
    assert (tree / "ended").exists()
    assert eventually(lambda: not sleepers())


def test_memory_is_taken_from_a_confined_program_first(tree: Path, tmp_path: Path) -> None:
    confined = Confinement(limits=FOR_A_TREE, root=tree, capabilities=FOR_CONTAINERD)
    run_tool(["cat", "/proc/self/oom_score_adj"], purpose="x", log_path=tmp_path / "log", confined=confined)
    assert (tmp_path / "log").read_text() == "1000\n"


def test_a_pipe_that_nobody_reads_ends_who_writes(tree: Path, tmp_path: Path) -> None:
    confined = Confinement(limits=FOR_A_TREE, root=tree, capabilities=())
    script = "(while echo x; do :; done; echo went on >&2) | head -c 2"
    run_tool(["sh", "-c", script], purpose="x", log_path=tmp_path / "log", confined=confined)
    assert (tmp_path / "log").read_text() == "x\n"
