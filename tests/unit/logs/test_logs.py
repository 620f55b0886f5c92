"""`iecpod logs` and -L: what is in the archive, what is not and why, and that no secret is."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from iecpod.adapters.log_archive import check_writable, new_archive
from iecpod.cli.after_run import log_file_option
from iecpod.cli.options.shared import Invocation, pod_options
from iecpod.cli.verb_context import pass_pods
from iecpod.commands.logs import LogRequest, collect_logs
from iecpod.deploy.kubectl.bootstrap_token import make_token
from iecpod.descriptors.pod_files import load_descriptors
from iecpod.errors import (
    ExitCode,
    HostError,
    HypervisorUnavailable,
    NodeError,
    NodeUnreachable,
    PreflightError,
    Problem,
    UsageError,
)
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.layout import Layout
from iecpod.logs import archive
from iecpod.logs.archive import Collection
from iecpod.logs.node_logs import fetch_guest_logs, gather_script
from iecpod.logs.scrub import Scrubber
from iecpod.pods.resolve import PodInputs
from iecpod.ports import CommandResult
from iecpod.wiring.pods import Pods
from tests.fakes import FakeHypervisor, FakeShell
from tests.fakes.pod_tools import NODES, REF, FakeTools
from tests.fakes.probes import in_place_or
from tests.pods import site
from tests.unit.command_line import layout_below, run, write_pod
from tests.unit.commands.test_commands import resolve, run_deploy
from tests.unit.deploy.admin_conf import admin, encoded

KEY = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PASSWORD = "quoth-the-raven"
TOKEN = make_token()


class Kept:
    """A sink in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def add(self, name: str, content: bytes) -> None:
        self.files[name] = content

    def text(self, name: str) -> str:
        return self.files[name].decode()

    @property
    def missing(self) -> list[str]:
        return self.text("MANIFEST").partition("Not collected\n")[2].splitlines()


def packed(files: Mapping[str, bytes]) -> str:
    """As a node prints it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return base64.b64encode(stream.getvalue()).decode()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


@pytest.fixture
def tools(tmp_path: Path, layout: Layout) -> FakeTools:
    tools = FakeTools(tmp_path, layout)
    for hostname, shell in tools.node_shells.items():
        logs = packed({"./journal/all.log": f"{hostname} booted\n".encode()})
        shell.reply(("sh", "-c"), in_place_or(logs))
    return tools


def collect(layout: Layout, tools: FakeTools, inputs: PodInputs | None, **options: str) -> Kept:
    kept = Kept()
    request = LogRequest(
        heading="heading",
        read=load_descriptors(str(options.pop("base", layout.pdf_dir)), REF),
        inputs=inputs,
        not_valid="" if inputs else "the descriptors are broken",
        site=site(EMBEDDED),
        log_file=layout.state_dir / "log" / "iecpod.log",
        events_file=None,
        **options,
    )
    collect_logs(request, tools, kept)
    return kept


def write_own_files(layout: Layout, tools: FakeTools) -> None:
    log = layout.state_dir / "log" / "iecpod.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"joined with {TOKEN}\n")
    for name, text in {
        "report.json": "{}\n",
        "console/iec01.log": f"Linux version 6.1\n{KEY}",
        "libvirt/log/qemu/local-virtual1-iec01.log": "char device redirected\n",
        "libvirt/etc/qemu/local-virtual1-iec01.xml": "<domain/>\n",
    }.items():
        path = tools.pod_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_deployed_pod_gives_all_logs(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    write_own_files(layout, tools)
    kept = collect(layout, tools, resolve(layout))
    assert kept.missing == ["nothing"]
    assert set(kept.files) == {
        *("MANIFEST", "iecpod/iecpod.log", "iecpod/report.json", "iecpod/plan.txt", "consoles/iec01.log"),
        *("descriptors/virtual1.yaml", "descriptors/idf-virtual1.yaml"),
        *("libvirt/log/qemu/local-virtual1-iec01.log", "libvirt/etc/qemu/local-virtual1-iec01.xml"),
        *(f"libvirt/xml/domain-local-virtual1-{node}.xml" for node in NODES),
        *(f"libvirt/xml/network-local-virtual1-{net}.xml" for net in ("admin", "mgmt", "private", "public")),
        "libvirt/xml/pool-iecpod-local-virtual1.xml",
        *(f"nodes/{node}/journal/all.log" for node in NODES),
    }
    assert "iec01  enp2s0  mgmt     172.16.10.36/24" in kept.text("iecpod/plan.txt")
    assert kept.text("nodes/iec02/journal/all.log") == "iec02 booted\n"
    assert f"{len(kept.files['iecpod/plan.txt'])}" in kept.text("MANIFEST")
    assert all(shell.closed for shell in tools.node_shells.values())
    scripts = {node: shell.calls[-1][2] for node, shell in tools.node_shells.items()}
    assert ["kubectl" in scripts[node] for node in NODES] == [True, False, False]


def test_no_artefact_of_a_deploy_contains_a_secret(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    write_pod(tmp_path, REF.lab, REF.pod)
    pdf = tmp_path / "labs" / REF.lab / f"{REF.pod}.yaml"
    pdf.write_text((layout.pdf_dir / "labs" / REF.lab / f"{REF.pod}.yaml").read_text() + f"# pass: {PASSWORD}\n")
    idf = tmp_path / "labs" / REF.lab / f"idf-{REF.pod}.yaml"
    idf.write_text((layout.pdf_dir / "labs" / REF.lab / f"idf-{REF.pod}.yaml").read_text())
    run_deploy(layout, tools)
    write_own_files(layout, tools)
    keys = {path.name: path.read_text() for path in (tools.pod_dir / "keys").iterdir()}
    encoded_key = encoded(admin()[0])
    assert encoded_key in tools.kubeconfig_path.read_text()
    admin_key = base64.b64decode(encoded_key).decode()
    privates = [text for text in (*keys.values(), admin_key) if "PRIVATE KEY" in text]
    secrets = {line for text in privates for line in text.splitlines() if len(line) >= 32 and "-----" not in line}
    secrets |= {TOKEN, PASSWORD, encoded_key}
    assert len(privates) == 5
    shown = "".join(f"{secret}\n" for secret in (*privates, *sorted(secrets - {PASSWORD}))) + f"pass: {PASSWORD}\n"
    deployed = dict(tools.node_shells)
    for hostname in NODES:  # what a node prints is now the worst
        output = packed({"journal/all.log": f"{hostname}\n{shown}".encode()})
        tools.node_shells[hostname] = FakeShell(hostname).on("sh", "-c", stdout=output)
    (tools.pod_dir / "console" / "iec02.log").write_text(shown)
    kept = collect(layout, tools, resolve(layout, base_uri=str(tmp_path)), base=str(tmp_path))
    assert {"nodes/iec03/journal/all.log", "consoles/iec02.log"} <= set(kept.files)
    assert [
        (name, secret) for name, content in kept.files.items() for secret in secrets if secret.encode() in content
    ] == []
    lines = "\n".join(tools.reporter.lines)
    argv = "\n".join(" ".join(call) for shell in deployed.values() for call in shell.calls)
    assert [secret for secret in secrets if secret in lines or secret in argv] == []
    secret_files = {"keys", "kubeconfig", "console"}
    for path in tools.pod_dir.rglob("*"):
        if path.is_file() and path.relative_to(tools.pod_dir).parts[0] not in secret_files:
            assert [secret for secret in secrets if secret in path.read_text()] == [], path
    assert stat.S_IMODE(tools.kubeconfig_path.stat().st_mode) == 0o600


def test_what_is_longer_than_its_bound_is_cut_and_the_manifest_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 100)
    (tmp_path / "file").write_bytes(b"x" * 50 + b"\n" + b"y" * 30 + b"\n" + b"z" * 29 + b"\n")
    kept = Kept()
    into = Collection(kept, Scrubber(["hunter-22"]))
    into.add("short", b"0" * 100)
    into.add("long", b"password hunter-22 " * 5 + b"\n" + b"a" * 99)
    into.add("one line", b"0" * 101)
    into.add_file("file", tmp_path / "file", 60)
    into.add_manifest("heading")
    assert {name: len(content) for name, content in kept.files.items() if name != "MANIFEST"} == {
        **{"short": 100, "long": 99, "one line": 100},
        "file": 30,
    }
    assert kept.text("file") == "z" * 29 + "\n"
    assert kept.text("MANIFEST").partition("Cut\n")[2].partition("\n\n")[0].splitlines() == [
        "long: its first 96 bytes are left out",
        "one line: its first 1 bytes are left out",
        "file: its first 82 bytes are left out",
    ]


def test_a_node_that_does_not_answer_is_noted(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    silent = FakeShell("iec02").reply(("sh", "-c"), NodeUnreachable("iec02", "no connection"))
    partly = FakeShell("iec03").on(
        "sh", "-c", stdout=packed({"x": b"1", "MISSING": b"system/space.txt: exit status 124: \n"})
    )
    tools.node_shells.update(iec02=silent, iec03=partly)
    kept = collect(layout, tools, resolve(layout))
    assert "nodes/iec02: iec02: no connection" in kept.missing
    assert "nodes/iec03/system/space.txt: exit status 124: " in kept.missing
    assert {"nodes/iec01/journal/all.log", "nodes/iec03/x"} <= set(kept.files)
    assert not [name for name in kept.files if name.startswith("nodes/iec02")]


def test_without_libvirtd_files_tell_instead(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    write_own_files(layout, tools)
    tools.fake_host.started = False

    def refuse() -> FakeHypervisor:
        raise HypervisorUnavailable("libvirtd does not answer")

    tools.fake_host.connect = refuse  # type: ignore[method-assign]
    kept = collect(layout, tools, resolve(layout))
    assert kept.missing == [f"{name}: libvirtd does not answer" for name in ("libvirt/xml", "iecpod/plan.txt")]
    assert {"libvirt/etc/qemu/local-virtual1-iec01.xml", "nodes/iec01/journal/all.log"} <= set(kept.files)
    assert not tools.fake_host.started


def test_with_broken_descriptors_the_rest_is_there(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    write_own_files(layout, tools)
    kept = collect(layout, tools, None)
    assert kept.missing == ["iecpod/plan.txt: the descriptors are broken", "nodes: the descriptors are broken"]
    assert "libvirt/xml/domain-local-virtual1-iec01.xml" in kept.files


def test_a_pod_that_never_was_leaves_a_manifest(layout: Layout, tools: FakeTools) -> None:
    kept = collect(layout, tools, resolve(layout))
    assert set(kept.files) == {"MANIFEST", "descriptors/virtual1.yaml", "descriptors/idf-virtual1.yaml"}
    assert "machines: the POD is not deployed from here" in kept.missing
    assert not tools.pod_dir.exists() and not tools.fake_host.started


def test_what_is_no_archive_is_the_nodes_error() -> None:
    for output in (
        "[7 bytes left out]\nH4sI",
        "",
        base64.b64encode(b"no tar").decode(),
        packed({"x": b"y" * 999})[:80],
    ):
        with pytest.raises(NodeError, match="iec01: its logs arrived damaged"):
            fetch_guest_logs(FakeShell("iec01").on("sh", "-c", stdout=output), with_cluster=False)


def test_a_node_cannot_write_beside_its_directory() -> None:
    names = ("../evil", "/evil", "a/../../b", "a\x1b[2J", "b" * 2000, "./good")
    shell = FakeShell().on("sh", "-c", stdout=packed({name: b"x" for name in names}))
    logs = fetch_guest_logs(shell, with_cluster=False)
    assert set(logs.files) == {"good"}
    assert logs.missing == ("logs: some files have names that no log has",)


def _tar(*entries: tuple[str, int, bytes]) -> str:
    """Headers that say of themselves what they like, and no content."""
    blocks = []
    for name, size, kind in entries:
        entry = tarfile.TarInfo(name)
        entry.size, entry.type = size, kind
        blocks.append(entry.tobuf(tarfile.GNU_FORMAT))
    return base64.b64encode(gzip.compress(b"".join(blocks) + bytes(1024))).decode()


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (_tar(("x", 1 << 50, tarfile.REGTYPE)), "more than 134217728 bytes"),
        (_tar(("x", 1 << 30, tarfile.GNUTYPE_SPARSE)), "a file with holes is in it"),
        (_tar(("x", 1 << 30, tarfile.XHDTYPE)), "a header has more than 65536 bytes"),
        (_tar(("x", -512, tarfile.REGTYPE)), "a size is negative"),
        (_tar(*[("x", 0, tarfile.REGTYPE)] * 2001), "more than 2000 members"),
        (_tar(*[("x", 0, tarfile.XHDTYPE)] * 2001), "more than 2000 members"),
        (base64.b64encode(gzip.compress(bytes(512) + bytes(1 << 28))).decode()[:-8], ""),
    ],
    ids=["large", "sparse", "long header", "negative", "members", "headers", "after the end"],
)
def test_a_node_cannot_take_memory_or_time(output: str, shown: str) -> None:
    shell = FakeShell("iec01").on("sh", "-c", stdout=output)
    if shown:
        with pytest.raises(NodeError) as caught:
            fetch_guest_logs(shell, with_cluster=False)
        assert caught.value.cause == f"iec01: its logs arrived damaged: {shown}"
    else:
        assert fetch_guest_logs(shell, with_cluster=False).files == {}


def test_of_what_a_node_could_not_tell_little_is_kept() -> None:
    shell = FakeShell().on("sh", "-c", stdout=packed({"MISSING": b"x" * 5000 + b"\n" + b"y\n" * 5000}))
    missing = fetch_guest_logs(shell, with_cluster=False).missing
    assert len(missing) == 1000 and max(map(len, missing)) == 1000


STUBS = {
    "journalctl": 'echo "journal $*"; case "$*" in *docker*) echo "no unit" >&2; exit 3;; esac',
    "kubectl": 'echo "$*"; head -c 2000000 /dev/zero | tr "\\0" x; echo END',
    "systemctl": "echo units",
    "timeout": 'shift 2; exec "$@"',
}


def test_the_script_runs_in_a_real_shell(tmp_path: Path) -> None:
    """With this machine's tools, but for those that would tell of this machine."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    for name, script in STUBS.items():
        (stubs / name).write_text(f"#!/bin/sh\n{script}\n")
        (stubs / name).chmod(0o755)
    shell = FakeShell()

    def act(_argv: object, _stdin: bytes) -> CommandResult:
        script = (
            gather_script(with_cluster=True)
            .replace("/var/tmp", str(tmp_path))
            .replace("/var/log/pods", str(tmp_path / "pods"))
        )
        done = subprocess.run(
            ["sh", "-c", script],
            env={"PATH": f"{stubs}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    shell.reply(("sh", "-c"), act)
    log = tmp_path / "pods" / "kube-system_etcd-iec01_1" / "etcd" / "0.log"
    log.parent.mkdir(parents=True)
    log.write_text("x" * 200_000 + "raft\n")
    logs = fetch_guest_logs(shell, with_cluster=True)
    assert logs.files["journal/kubeadm.log"].endswith(b"--unit=iecpod-kubeadm-*\n")
    assert logs.files["journal/runtime.log"].startswith(b"journal --boot")
    assert "journal/runtime.log: exit status 3: no unit" in logs.missing
    assert len(logs.files["cluster/nodes.txt"]) == 1 << 20 and logs.files["cluster/nodes.txt"].endswith(b"xEND\n")
    container = logs.files["containers/kube-system_etcd-iec01_1/etcd/0.log"]
    assert len(container) == 128 << 10 and container.endswith(b"raft\n")
    assert any(line.startswith("cloud-init/result.json: exit status 1") for line in logs.missing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "pods"]


def test_an_archive_is_complete_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    with new_archive(path, "top") as archive:
        archive.add("a/b", b"content")
        assert not path.exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as tar:
        assert [(entry.name, entry.mode) for entry in tar] == [("top", 0o700), ("top/a/b", 0o600)]
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), new_archive(path, "top") as archive:
        raise KeyboardInterrupt
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_where_no_archive_can_be_is_reported_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "x", tmp_path / "file" / "x", tmp_path):
        with pytest.raises(UsageError, match="cannot be written"):
            check_writable(path)
    check_writable(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_verb_prints_the_name_of_its_archive(tmp_path: Path) -> None:
    result = run(tmp_path, "logs", "-l", "local", "-p", "virtual1")
    assert result.exit_code == 0, result.output
    path = tmp_path / result.stdout.strip()
    assert path.name.startswith("local-virtual1-") and path.name.endswith("Z.tar.gz")
    with tarfile.open(path) as tar:
        assert f"{path.name.removesuffix('.tar.gz')}/MANIFEST" in tar.getnames()
    assert run(tmp_path, "logs", "-l", "local", "-p", "virtual1", "named.tar.gz").stdout == "named.tar.gz\n"


def _deploy_that(error: BaseException | None, tmp_path: Path, log_file: Path) -> Result:
    @click.command()
    @pod_options
    @pass_pods
    @log_file_option
    def deploy(pods: Pods, /, **options: object) -> None:
        assert pods.layout == layout_below(tmp_path) and "log_file" not in options
        if error is not None:
            raise error

    invocation = Invocation(layout_below(tmp_path), environ={}, is_terminal=False)
    arguments = ["-l", "local", "-p", "virtual1", "-L", str(log_file)]
    return CliRunner().invoke(deploy, arguments, obj=invocation, standalone_mode=False)


def manifest_of(path: Path) -> str:
    with tarfile.open(path) as tar:
        (name,) = (name for name in tar.getnames() if name.endswith("/MANIFEST"))
        file = tar.extractfile(name)
        assert file is not None
        return file.read().decode()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "The run ended well."),
        (HostError("the mirror is away"), "The run failed: the mirror is away"),
        (PreflightError([Problem(message="the disk is full")], "no"), "The run failed: no\nerror: the disk is full"),
        (ValueError("bug"), "The run failed: ValueError('bug')"),
        (KeyboardInterrupt(), "The run was interrupted."),
    ],
)
def test_logs_are_written_however_a_run_ended(tmp_path: Path, error: BaseException | None, outcome: str) -> None:
    path = tmp_path / "x.tar.gz"
    with contextlib.suppress(KeyboardInterrupt):
        result = _deploy_that(error, tmp_path, path)
        # click makes `Abort` of an interrupt.
        assert result.exception is error or isinstance(result.exception, click.Abort)
        assert f"iecpod: logs: {path}" in result.stderr
    assert manifest_of(path).partition("\n")[2].startswith(f"{outcome}\n\nCollected\n")


def test_logs_that_cannot_be_collected_hide_no_error(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "x.tar.gz"
    path.parent.mkdir()

    class Vanishing(HostError):
        @property
        def cause(self) -> str:  # the directory goes while the run fails
            path.parent.rmdir()
            return "late"

        @cause.setter
        def cause(self, _text: str) -> None: ...

    result = _deploy_that(error := Vanishing("late"), tmp_path, path)
    assert result.exception is error
    assert "warning: the logs could not be collected: the archive" in result.stderr


def test_a_run_does_not_begin_without_a_place_for_its_logs(tmp_path: Path) -> None:
    result = _deploy_that(AssertionError("it began"), tmp_path, tmp_path / "none" / "x")
    assert isinstance(result.exception, UsageError) and result.exception.exit_code is ExitCode.USAGE
    refused = run(tmp_path, "deploy", "-l", "local", "-p", "virtual1", "-L", "none/x.tar.gz")
    assert isinstance(refused.exception, UsageError)
    assert list(tmp_path.iterdir()) == []


def test_a_descriptor_that_is_a_link_to_elsewhere_is_left_out(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    """Who writes descriptors does not get what root may read; a link to another descriptor of the base is one."""
    write_pod(tmp_path / "base", "local", "virtual1")
    lab = tmp_path / "base" / "labs" / "local"
    (tmp_path / "secret").write_text("hunter22\n")
    (lab / "virtual1.yaml").unlink()
    (lab / "virtual1.yaml").symlink_to(tmp_path / "secret")
    (lab / "idf-virtual1.yaml").rename(lab / "idf-shared.yaml")
    (lab / "idf-virtual1.yaml").symlink_to("idf-shared.yaml")
    kept = collect(layout, tools, None, base=str(tmp_path / "base"))
    assert "descriptors/idf-virtual1.yaml" in kept.files and "descriptors/virtual1.yaml" not in kept.files
    assert f"descriptors/virtual1.yaml: {lab}/virtual1.yaml is a link that leads out of its base" in kept.missing
    assert not any(b"hunter22" in content for content in kept.files.values())
