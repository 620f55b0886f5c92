"""The first login to a machine, against a real SSH server on loopback, and the options that lead to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from click.testing import CliRunner

from iecpod.cli.main import cli
from iecpod.cli.options.login import make_login
from iecpod.errors import NodeError, NodeUnreachable, UsageError
from iecpod.providers.existing.first_login import check_root
from iecpod.ssh.connection import SshConnection
from iecpod.ssh.host_keys import offered_host_key
from iecpod.ssh.keys import PodKeys, ensure_pod_keys
from iecpod.ssh.shell import SshShell
from iecpod.ssh_login import ExpectedKey, HostKey, Login, Password
from tests.fakes import FakeShell
from tests.ssh_server import SshServer
from tests.unit.ssh.test_shell import keys, load_key, node_server, open_socket

__all__ = ["keys"]


@pytest.fixture
def server(tmp_path: Path, keys: PodKeys) -> Iterator[SshServer]:
    server = node_server(tmp_path, keys)
    server.password = "correct horse"
    yield server
    server.close()


def shell_of(server: SshServer, login: Login, user: str = "ubuntu") -> SshShell:
    return SshShell(
        SshConnection(
            "edge1",
            "127.0.0.1",
            port=server.port,
            user=user,
            private_key_file=Path(),
            host_key=f"{server.host_key.get_name()} {server.host_key.get_base64()}",
            open_socket=open_socket,
            login=login,
        )
    )


def test_a_password_lets_in(server: SshServer) -> None:
    shell = shell_of(server, Login(password=Password("correct horse")))
    assert shell.run(["echo", "in"]).stdout == "in\n"
    assert "correct horse" not in " ".join(server.commands)
    shell.close()


def test_nothing_to_log_in_with_is_said(server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    refusal = r"refuses the agent's keys and those of this user \(there are none\)"
    with pytest.raises(NodeUnreachable, match=refusal) as caught:
        shell_of(server, Login()).run(["true"])
    assert "--ask-password" in caught.value.remedy


def test_a_wrong_password_is_one_error_that_does_not_tell_it(server: SshServer) -> None:
    with pytest.raises(NodeUnreachable) as refused:
        shell_of(server, Login(password=Password("battery staple"))).run(["true"])
    assert "ubuntu@127.0.0.1" in refused.value.cause and "refuses the password that was given" in refused.value.cause
    assert "battery staple" not in f"{refused.value!r} {refused.value.__cause__!r} {refused.value.remedy}"
    assert "--ask-password" in refused.value.remedy and server.connections == 1


def test_a_key_lets_in(server: SshServer, keys: PodKeys) -> None:
    shell = shell_of(server, Login(key_files=(keys.private_key_file,), password=Password("wrong")))
    assert shell.run(["echo", "in"]).stdout == "in\n"
    shell.close()


def test_a_key_that_is_not_taken_is_named(server: SshServer, tmp_path: Path) -> None:
    other = ensure_pod_keys(tmp_path / "other", "x").private_key_file
    with pytest.raises(NodeUnreachable, match=f"refuses the key {other}"):
        shell_of(server, Login(key_files=(other,))).run(["true"])


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_host_keys_of_other_types_are_pinned_as_well(tmp_path: Path, keys: PodKeys, kind: str) -> None:
    made = paramiko.ECDSAKey.generate() if kind == "ecdsa" else paramiko.RSAKey.generate(2048)
    server = SshServer(tmp_path, made, load_key(keys.private_key_file))
    server.password = "x"
    try:
        shell = shell_of(server, Login(password=Password("x")))
        assert shell.run(["echo", "in"]).stdout == "in\n"
        shell.close()
    finally:
        server.close()


def test_another_host_key_gets_no_password(server: SshServer, tmp_path: Path) -> None:
    other = ensure_pod_keys(tmp_path / "other", "x").host_key("iec09")[1]
    shell = SshShell(
        SshConnection(
            "edge1",
            "127.0.0.1",
            port=server.port,
            user="ubuntu",
            private_key_file=Path(),
            host_key=other,
            open_socket=open_socket,
            login=Login(password=Password("correct horse")),
        )
    )
    with pytest.raises(NodeUnreachable, match="host key mismatch"):
        shell.run(["true"])
    assert server.commands == []


def test_a_server_says_who_it_is_before_anybody_logs_in(server: SshServer, keys: PodKeys) -> None:
    offered = offered_host_key("edge1", open_socket("127.0.0.1", server.port, 5), ("ssh-rsa", "ssh-ed25519"))
    assert offered == HostKey.parse(keys.host_key("iec01")[1])


def test_what_is_no_ssh_server_has_no_host_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = socket.create_connection(listener.getsockname())
        listener.accept()[0].close()
        with pytest.raises(NodeUnreachable, match="no SSH host key"):
            offered_host_key("edge1", connection, ())


@pytest.mark.parametrize(
    "said",
    [
        "sudo: a password is required",
        "sudo: a terminal is required to read the password",
        "iec is not in the sudoers file.",
        "Sorry, user iec is not allowed to execute '/usr/bin/timeout' as root on edge1.",
        "bash: line 1: sudo: command not found",
    ],
)
def test_sudo_that_is_refused_is_reported_with_its_remedy(said: str) -> None:
    shell = FakeShell("edge1").on("true", stderr=f"lecture\n{said}\n", returncode=1)
    with pytest.raises(NodeError) as refused:
        check_root(shell, "iec")
    assert refused.value.cause == f"edge1: `sudo -n true` is refused to user iec: {said}"
    assert "/etc/sudoers.d/90-iecpod" in refused.value.remedy and "or log in as root" in refused.value.remedy


def options(**given: Any) -> dict[str, Any]:
    return {"user": "iec", "ask_password": False, "password_file": None, "key_files": (), "host_keys": (), **given}


def test_a_password_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p ss\nsecond line\n")
    from_file = make_login(options(password_file=file), {"IECPOD_SSH_PASSWORD": "other"})
    assert from_file.password is not None and from_file.password.reveal() == "p ss"
    from_environment = make_login(options(), {"IECPOD_SSH_PASSWORD": "other"})
    assert from_environment.password is not None and from_environment.password.reveal() == "other"
    assert make_login(options(), {}).password is None


def test_a_password_is_asked_for_on_a_terminal_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is none"):
        make_login(options(ask_password=True), {})
    with pytest.raises(UsageError, match="exclude each other"):
        make_login(options(ask_password=True, password_file=tmp_path / "x"), {})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(UsageError, match="no password in its first line"):
        make_login(options(password_file=tmp_path / "empty"), {})


def test_no_option_takes_a_password_itself() -> None:
    takers = {
        option
        for command in cli.commands.values()
        for parameter in command.params
        for option in parameter.opts
        if "password" in option
    }
    assert takers == {"--ask-password", "--password-file"}


def test_host_keys_are_options() -> None:
    fingerprint = "SHA256:" + "A" * 43
    login = make_login(options(host_keys=(ExpectedKey("", fingerprint),), accept_new_host_keys=True), {})
    assert login.expected == (ExpectedKey("", fingerprint),) and login.accept_new
    assert any(str(path).endswith("/.ssh/known_hosts") for path in login.known_hosts)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["edge1"], "'edge1' is not an IPv4 address"),
        (["10.0.0.1", "--host-key", "x"], "is not a host key"),
        (["10.0.0.1", "--user", "a b"], "'a b' is not the name of a user"),
        (["10.0.0.1"], "no login user is given"),
        (["10.0.0.1", "10.0.0.1", "--user", "iec"], "an address is given twice"),
    ],
)
def test_bootstrap_refuses_what_cannot_be_meant(arguments: list[str], said: str, tmp_path: Path) -> None:
    from iecpod.cli.options.shared import Invocation
    from tests.unit.command_line import layout_below

    invocation = Invocation(layout_below(tmp_path), environ={}, is_terminal=False)
    result = CliRunner().invoke(cli, ["bootstrap", *arguments], obj=invocation)
    assert said in f"{result.output} {result.exception}"
