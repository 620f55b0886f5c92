"""Values that differ from run to run are arguments and variables of programs, and no part of what these run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.commands.guest_access import GuestAccess, ssh_argv
from iecpod.errors import HostError, ImageError
from iecpod.images.build import apt, debian_kubernetes, rootfs
from iecpod.images.build.apt import AptRoot, AptSuite
from iecpod.images.build.rootfs import ensure_rootfs
from iecpod.images.confinement.program import Confinement
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.options.choices import VirtType
from iecpod.pods.directory import NOTE, load_saved
from iecpod.ports import BaseImage
from iecpod.providers.libvirt.kvm_probe import does_kernel_start
from iecpod.providers.libvirt.objects import Emulator, Firmware
from iecpod.release.mirrors import Supply
from iecpod.release.release import ImageSource, ImageSourceType
from iecpod.render.bundle_install import import_script
from tests.fakes import RecordingReporter
from tests.unit.command_line import run
from tests.unit.commands.test_commands import layout, resolve  # noqa: F401
from tests.unit.conftest import make_release
from tests.unit.hostile.outside_watch import watched

#: A directory that a shell, read as part of a program, would make a command of.
ODD = "it's $(touch pwned); touch pwned #"


class Tool:
    """Stands in for `run_tool`: notes what would run."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], Mapping[str, str]]] = []
        self.confined: list[Confinement | None] = []

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        confined: Confinement | None = None,
        **_options: Any,
    ) -> None:
        self.calls.append((list(argv), environment or {}))
        self.confined.append(confined)


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Tool:
    tool = Tool()
    for module in (apt, rootfs, debian_kubernetes):
        monkeypatch.setattr(module, "run_tool", tool)
    return tool


def _source(keyring: Path) -> ImageSource:
    keyring.touch()
    return ImageSource(
        type=ImageSourceType.MMDEBSTRAP,
        location={},
        sha256sums={},
        mirror="http://deb.example/debian",
        suite="bookworm",
        keyring=str(keyring),
        packages=("linux-image-{arch}", "curl"),
    )


def test_hooks_of_mmdebstrap_are_the_same_in_every_cache(tmp_path: Path, tool: Tool) -> None:
    """What they need to know of the run are variables: run here, they copy, write, and nothing else."""
    cache = tmp_path / ODD
    ensure_rootfs(Cache(cache, RecordingReporter()), _source(tmp_path / "keys.gpg"), Arch.of_this_machine())
    ((argv, environment),) = tool.calls
    hooks = [option.partition("=")[2] for option in argv if option.startswith("--customize-hook=")]
    assert len(hooks) == 4 and not any("pwned" in part for part in argv if not part.startswith(str(cache)))
    root = tmp_path / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc/apt").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text("Package: curl\n")
    for hook in hooks[-2:]:
        Path(environment["IECPOD_STATUS"]).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["sh", "-c", hook, "exec", str(root)], env={**os.environ, **environment}, cwd=root, check=True)
    assert Path(environment["IECPOD_STATUS"]).read_text() == "Package: curl\n"
    assert Path(environment["IECPOD_STATUS"]).is_relative_to(cache)
    assert (root / "etc/apt/sources.list").read_text() == (
        f"deb [signed-by={tmp_path}/keys.gpg] http://deb.example/debian bookworm main\n"
        f"deb [signed-by={tmp_path}/keys.gpg] http://deb.example/debian bookworm-updates main\n"
    )
    assert not list(tmp_path.rglob("pwned"))


def test_operands_of_mmdebstrap_are_no_options(tmp_path: Path, tool: Tool) -> None:
    source = _source(tmp_path / "keys.gpg")
    ensure_rootfs(Cache(tmp_path / "cache", RecordingReporter()), source, Arch.of_this_machine())
    ((argv, _),) = tool.calls
    options, operands = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    assert operands[0] == "bookworm" and operands[1].endswith("/rootfs.tar")
    assert all(operand.startswith("deb [signed-by=") for operand in operands[2:])
    assert f"--include=linux-image-{Arch.of_this_machine().debian},curl" in options


def test_names_of_packages_are_no_options_of_apt(tmp_path: Path, tool: Tool) -> None:
    root = AptRoot(tmp_path / "apt", "amd64", tmp_path / "log")
    root.download_source("kubernetes", tmp_path)
    root.download(["golang", "curl"], tmp_path)
    root.download_missing(["runc"])
    assert [argv[argv.index("--") :] for argv, _ in tool.calls] == [
        ["--", "kubernetes"],
        ["--", "golang", "curl"],
        ["--", "runc"],
    ]


def test_a_source_package_is_unpacked_in_confinement(tmp_path: Path, tool: Tool) -> None:
    """It writes beside nothing of this host; tests/contract/images/test_source_package.py unpacks one."""
    tree = tmp_path / "work/gopath/src/kubernetes"
    debian_kubernetes.unpack_source(tmp_path / "source/x.dsc", tree, tmp_path / "log")
    ((argv, _),), (confined,) = tool.calls, tool.confined
    assert argv[0] == "dpkg-source" and confined is not None
    assert (confined.root, confined.written, confined.capabilities) == (None, (tree.parent,), ())
    assert list(confined.readable.values()) == [tmp_path / "source"]


@pytest.mark.parametrize(
    "word", ["", "a b", "a]", "[trusted=yes]", "a\nb", "a#b", "a\tb", "a\0", "a\u2028b", "a\u00a0b"]
)
def test_a_source_of_apt_is_made_of_words(word: str) -> None:
    good: dict[str, Any] = {"mirror": "http://x", "suites": ("a",), "keyring": "/k", "components": ("main",)}
    assert AptSuite(**good).source_lines("deb") == "deb [signed-by=/k] http://x a main\n"
    for name in good:
        with pytest.raises(ImageError, match="cannot stand in apt's list of sources"):
            AptSuite(**{**good, name: (word,) if isinstance(good[name], tuple) else word})


def test_a_comma_in_a_path_is_no_setting_of_qemu(tmp_path: Path) -> None:
    directory = tmp_path / "a,file.locking=on"
    directory.mkdir()
    program, image, code = directory / "qemu", directory / "image", directory / "code.fd"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/arguments"\necho Linux version 6.1\n')
    program.chmod(0o755)
    for file in (image, code):
        file.touch()
    emulator = Emulator(str(program), "q35", True, Firmware(str(code), str(code)))
    base = BaseImage(path=image, sha256="0" * 64, format="qcow2", virtual_size_bytes=1)
    assert does_kernel_start(base, emulator, VirtType.KVM, directory, timeout_seconds=30)
    escaped = str(directory).replace(",", ",,")
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert [argument.partition("file=")[2] for argument in arguments if argument.startswith("if=pflash")] == [
        f"{escaped}/code.fd",
        f"{escaped}/variables.fd",
    ]
    (blockdev,) = (argument for argument in arguments if argument.startswith("driver="))
    assert f"file.filename={escaped}/image,file.read-only=on" in blockdev


@pytest.mark.parametrize("runtime", ["containerd", "docker"])
def test_the_reference_of_an_image_is_no_option(tmp_path: Path, runtime: str) -> None:
    """A bundle's manifest names them: with grep's -f, a file would say what is to be found."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("ctr", "docker"):
        (programs / name).write_text('#!/bin/sh\ncase "$*" in *--\\ -*) exit 1;; esac\necho docker.io/a/b:c\n')
        (programs / name).chmod(0o755)
    (tmp_path / "patterns").write_text("docker.io/a/b:c\n")
    script = import_script(make_release(runtime=runtime))

    def there(reference: str) -> bool:
        env = {"PATH": f"{programs}:{os.environ['PATH']}", "bundle": str(tmp_path)}
        return subprocess.run(["sh", "-euc", script, "import", reference], env=env, check=False).returncode == 0

    assert there("docker.io/a/b:c")
    assert not there(f"-f{tmp_path}/patterns")


@pytest.mark.parametrize(
    "values",
    [
        {"apt_mirror": "[trusted=yes] http://x"},
        {"apt_mirror": "file:///x"},
        {"image_url": "file:///etc/shadow"},
        {"image_url": "data:,x"},
        {"repositories": {"docker": "http://x y"}},
        {"repository_keys": {"docker": "ftp://x/key"}},
        {"registry_mirrors": {"..": "http://x"}},
        {"registry_mirrors": {"docker.io/../x": "http://x"}},
        {"registry_mirrors": {"docker.io": 'http://x"\n[plugins]'}},
        {"http_proxy": "http://me:secret@x"},
        {"https_proxy": 'http://x"\nExecStart=/x'},
        {"no_proxy": ['x "DIRECT"; Acquire::http::Proxy "http://evil']},
        {"no_proxy": ["a\nb"]},
        {"no_proxy": [5]},
        {"registry_mirrors": {"docker.io": 5}},
    ],
)
def test_sources_that_a_pod_was_deployed_with_are_checked_where_they_are_held(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    """The command line and a POD's note alike."""
    with pytest.raises((ValueError, TypeError)):
        Supply(**values)
    (tmp_path / NOTE).write_text(json.dumps({"supply": values}))
    with pytest.raises(HostError, match="does not say what the POD was deployed with"):
        load_saved(tmp_path)


@pytest.mark.parametrize("verb", [("image", "bake"), ("bundle", "build"), ("plan", "-l", "local", "-p", "virtual1")])
@pytest.mark.parametrize("url", ["[trusted=yes] http://x", "file:///x", "cdrom:x", "-x", "http://x/'", "http://x/\n"])
def test_a_mirror_is_an_address_of_http(tmp_path: Path, verb: tuple[str, ...], url: str) -> None:
    with watched(tmp_path) as seen:
        result = run(tmp_path, *verb, "--release", "debian12", f"--apt-mirror={url}")
    assert (result.exit_code, seen) == (2, []) and "--apt-mirror" in result.output


def test_neither_a_path_nor_a_command_is_an_option_of_ssh(layout: Layout) -> None:  # noqa: F811
    """A path with spaces is one file, and what follows the node is for its shell."""
    directory = Path("/srv/my labs/keys")
    access = GuestAccess(command_prefix=(), private_key=directory / "id", known_hosts=directory / "known_hosts")
    argv = ssh_argv(resolve(layout), access, "iec01", ["-oProxyCommand=touch pwned", "a b"], tty=False)
    assert argv[-3:] == ["--", "ubuntu@172.16.10.36", "'-oProxyCommand=touch pwned' 'a b'"]
    shown = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {f"identityfile {directory}/id", "hostname 172.16.10.36", "user ubuntu"} <= set(shown)
    assert not any(line.startswith("proxycommand") for line in shown)
    (files,) = (line for line in shown if line.startswith("userknownhostsfile"))
    assert files == f"userknownhostsfile {directory}/known_hosts"
