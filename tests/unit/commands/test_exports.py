"""What other programs read of a POD: the files as they are, and that sh and ssh understand them.

To rewrite the golden files: `IECPOD_WRITE_GOLDEN=1 pytest tests/unit/commands/test_exports.py`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import paramiko
import pytest

from iecpod.cli.pods import EXPORTED
from iecpod.commands.deploy import deploy
from iecpod.commands.exports import exported_pod, write_exports
from iecpod.commands.guest_access import GuestAccess
from iecpod.errors import UsageError
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.release.scenario import Role
from iecpod.render.exports import (
    EXPORTS,
    ExportedNode,
    ExportedPod,
    render_env,
    render_hosts,
    render_inventory,
    render_ssh_config,
)
from iecpod.ssh.keys import PodKeys, ensure_pod_keys
from iecpod.yaml.document import load_yaml
from tests.fakes.pod_tools import FakeTools
from tests.ssh_server import SshServer
from tests.unit.command_line import layout_below, run
from tests.unit.commands.test_commands import layout, resolve, tools  # noqa: F401

GOLDEN = Path(__file__).parents[1] / "golden" / "exports"
POD_DIR = Path("/var/lib/iecpod/pods/arm/virtual2")
EMBEDDED = ("nsenter", "--net=/run/netns/iecpod-arm-virtual2")


def make_pod(directory: Path = POD_DIR, prefix: tuple[str, ...] = ()) -> ExportedPod:
    return ExportedPod(
        ref=PodRef("arm", "virtual2"),
        scenario="k8-calico-iec-noha",
        dns_domain="mcp-iec-noha.local",
        nodes=tuple(
            ExportedNode(
                f"iec0{index + 1}", Role.WORKER if index else Role.CONTROL_PLANE, IPv4Address("172.16.10.36") + index
            )
            for index in range(3)
        ),
        user="ubuntu",
        private_key=directory / "keys/id_ed25519",
        known_hosts=directory / "keys/known_hosts",
        kubeconfig=directory / "kubeconfig",
        directory=directory,
        command_prefix=prefix,
    )


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("prefix", [(), EMBEDDED], ids=["host", "embedded"])
def test_golden(name: str, prefix: tuple[str, ...]) -> None:
    text = EXPORTS[name](make_pod(prefix=prefix))
    golden = GOLDEN / (f"embedded-{name}" if prefix and name == "ssh_config" else name)
    if os.environ.get("IECPOD_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def sourced(file: Path, expression: str) -> str:
    command = ["sh", "-euc", f'. "$1"; printf %s "{expression}"', "sh", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["plain", "with space", 'it\'s $(odd) "100%"'])
def test_sh_reads_the_variables(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    pod = make_pod(directory)
    write_exports(pod)
    assert sourced(directory / "env", "$K8S_MASTER_IP $SSH_USER $CLUSTER_MASTER_IP") == (
        "172.16.10.36 ubuntu 172.16.10.36"
    )
    assert sourced(directory / "env", "$SSH_KEY|$KUBECONFIG") == f"{pod.private_key}|{pod.kubeconfig}"
    child = ["sh", "-euc", '. "$1"; exec sh -euc "echo \\"\\$DEPLOY_SCENARIO\\""', "sh", str(directory / "env")]
    assert subprocess.run(child, capture_output=True, text=True, check=True).stdout == "k8-calico-iec-noha\n"


def test_a_pod_without_a_cluster_names_no_kubeconfig() -> None:
    assert "KUBECONFIG" in render_env(make_pod())
    assert "KUBECONFIG" not in render_env(dataclasses.replace(make_pod(), kubeconfig=None))


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    write_exports(make_pod(tmp_path))
    write_exports(dataclasses.replace(make_pod(tmp_path), user="centos"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(EXPORTS)
    assert "export SSH_USER=centos\n" in (tmp_path / "env").read_text()


def test_the_inventory_has_kubesprays_groups() -> None:
    inventory = load_yaml(render_inventory(make_pod()), "inventory").data
    assert isinstance(inventory, dict)
    groups = inventory["all"]["children"]
    assert {name: list(group["hosts"]) for name, group in groups.items() if "hosts" in group} == {
        "kube_control_plane": ["iec01"],
        "etcd": ["iec01"],
        "kube_node": ["iec01", "iec02", "iec03"],
    }


def test_hosts_are_those_that_nodes_have(layout: Layout, tools: FakeTools) -> None:  # noqa: F811
    inputs = resolve(layout)
    deploy(inputs, tools, lambda _report: None)
    access = GuestAccess(command_prefix=(), private_key=tools.pod_dir, known_hosts=tools.pod_dir)
    hosts = render_hosts(exported_pod(inputs, access, tools.pod_dir))
    seeds = [content.decode() for name, content in tools.hypervisor.contents.items() if "seed" in name]
    assert len(seeds) == 3 and all(json.dumps(hosts)[1:-1] in seed for seed in seeds)


@pytest.fixture
def keys(tmp_path: Path) -> PodKeys:
    keys = ensure_pod_keys(tmp_path / "the keys" / "100%", "test")
    keys.host_key("iec01")
    return keys


@pytest.fixture
def server(tmp_path: Path, keys: PodKeys) -> Iterator[SshServer]:
    host_key, client_key = (
        paramiko.Ed25519Key.from_private_key_file(str(keys.directory / name))
        for name in ("ssh_host_ed25519_key-iec01", "id_ed25519")
    )
    server = SshServer(tmp_path, host_key, client_key)
    yield server
    server.close()


def ssh_to(directory: Path, keys: PodKeys, server: SshServer, prefix: tuple[str, ...], pinned: str) -> list[str]:
    """The argv of an ssh that is to run a command on the server, whose pinned host key is that of `pinned`."""
    algorithm, key = keys.host_key(pinned)[1].split()[:2]
    keys.known_hosts_file.write_text(f"[127.0.0.1]:{server.port} {algorithm} {key}\n")
    pod = dataclasses.replace(
        make_pod(directory, prefix),
        nodes=(ExportedNode("iec01", Role.CONTROL_PLANE, IPv4Address("127.0.0.1")),),
        private_key=keys.private_key_file,
        known_hosts=keys.known_hosts_file,
    )
    config = directory / "ssh_config"
    config.write_text(render_ssh_config(pod))
    return ["ssh", "-F", str(config), "-p", str(server.port), "iec01"]


@pytest.mark.parametrize("prefix", [(), ("env",)], ids=["directly", "through the prefix"])
@pytest.mark.parametrize("pinned", ["iec01", "iec02"])
def test_ssh_logs_in_where_the_pinned_key_answers(
    tmp_path: Path, keys: PodKeys, server: SshServer, prefix: tuple[str, ...], pinned: str
) -> None:
    """With a prefix the way is bash's, as into the network namespace of the embedded hypervisor."""
    done = subprocess.run(
        [*ssh_to(tmp_path, keys, server, prefix, pinned), "echo it is me"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if pinned == "iec01":
        assert (done.returncode, done.stdout) == (0, "it is me\n"), done.stderr
    else:
        assert done.returncode == 255 and "Host key verification failed" in done.stderr
        assert server.commands == []


@pytest.mark.parametrize("end", ["the node goes", "ssh is killed"])
def test_the_way_ends_with_either_side(tmp_path: Path, keys: PodKeys, server: SshServer, end: str) -> None:
    """All processes of the way hold ssh's standard error open: it is at its end when the last of them is."""
    argv = [*ssh_to(tmp_path, keys, server, ("env",), "iec01"), "echo here; exec sleep 20"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as ssh:
        assert ssh.stdout is not None and ssh.stdout.readline() == "here\n"
        if end == "ssh is killed":
            ssh.kill()
        else:
            server.cut()
        try:
            ssh.communicate(timeout=15)
        finally:
            ssh.kill()
    assert ssh.returncode in (255, -9)


def test_exports_are_printed_as_they_are_written(tmp_path: Path) -> None:
    pod_dir = layout_below(tmp_path).state_dir / "pods/local/virtual1"
    options = ("-l", "local", "-p", "virtual1")
    with pytest.raises(UsageError) as caught:
        raise run(tmp_path, "export", "env", *options).exception  # type: ignore[misc]
    assert caught.value.cause == "POD local/virtual1 is not deployed from here"
    ensure_pod_keys(pod_dir / "keys", "x")
    printed = {what: run(tmp_path, "export", what, *options) for what in EXPORTED}
    assert {result.exit_code for result in printed.values()} == {0}
    assert printed["hosts"].stdout.splitlines()[0] == "172.16.10.36 iec01.mcp-iec-noha.local iec01"
    assert f"export SSH_KEY={pod_dir}/keys/id_ed25519\n" in printed["env"].stdout
    assert "--net=/run/netns/iecpod-local-virtual1" in printed["ssh-config"].stdout
    assert str(pod_dir / "ssh_config") in printed["inventory"].stdout
    assert sorted(EXPORTED.values()) == sorted(EXPORTS)
