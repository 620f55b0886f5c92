"""`SshShell` against a real SSH server on loopback."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from iecpod.errors import CommandFailed, LoginRefused, NodeUnreachable, WaitTimeout
from iecpod.ssh import exchange
from iecpod.ssh.connection import SshConnection
from iecpod.ssh.keys import PodKeys, ensure_pod_keys
from iecpod.ssh.root_session import NotStarted, RootSession
from iecpod.ssh.shell import SshShell
from tests.ssh_server import SshServer


def load_key(path: Path) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key_file(str(path))


def open_socket(address: str, port: int, timeout_seconds: float) -> socket.socket:
    return socket.create_connection((address, port), timeout_seconds)


@pytest.fixture
def keys(tmp_path: Path) -> PodKeys:
    keys = ensure_pod_keys(tmp_path / "keys", "test")
    keys.host_key("iec01")
    return keys


def node_server(directory: Path, keys: PodKeys) -> SshServer:
    """The SSH server of node iec01, which lets the POD's key in."""
    host_key = load_key(keys.directory / "ssh_host_ed25519_key-iec01")
    return SshServer(directory, host_key, load_key(keys.private_key_file))


@pytest.fixture
def server(tmp_path: Path, keys: PodKeys) -> Iterator[SshServer]:
    server = node_server(tmp_path, keys)
    yield server
    server.close()


@pytest.fixture
def shell(server: SshServer, keys: PodKeys) -> Iterator[SshShell]:
    shell = make_shell(server.port, keys)
    yield shell
    shell.close()


def make_shell(port: int, keys: PodKeys, user: str = "ubuntu") -> SshShell:
    return SshShell(make_connection(port, keys, user))


def make_connection(port: int, keys: PodKeys, user: str = "ubuntu") -> SshConnection:
    return SshConnection(
        "iec01",
        "127.0.0.1",
        port=port,
        user=user,
        private_key_file=keys.private_key_file,
        host_key=keys.host_key("iec01")[1],
        open_socket=open_socket,
        refused_remedy="look at its console",
        mismatch_remedy="recreate the POD with `iecpod teardown`",
    )


def test_run_returns_both_outputs(shell: SshShell) -> None:
    result = shell.run(["sh", "-c", "echo out; echo err >&2"])
    assert (result.returncode, result.stdout, result.stderr) == (0, "out\n", "err\n")


def test_arguments_arrive_as_given(shell: SshShell, server: SshServer) -> None:
    arguments = ["a b", "$HOME", "'", '"', "*", "; false", "é", ""]
    assert shell.run(["printf", "%s|", *arguments]).stdout == "|".join(arguments) + "|"
    assert shell.run(["cat"], stdin=b"text").stdout == "text"
    assert server.commands[0] == "sudo -n -- sh" and server.commands[1].startswith("sudo -n -- timeout ")


def test_one_session_serves_many_commands(shell: SshShell, server: SshServer) -> None:
    for number in range(5):
        assert shell.run(["sh", "-c", f"cd /; exit {number}"], check=False).returncode == number
    assert (server.connections, len(server.commands)) == (1, 1)
    assert shell.run(["pwd"]).stdout != "/\n", "nothing of a command is left to the next one"


def test_what_a_daemon_prints_later_is_of_no_other_command(shell: SshShell, tmp_path: Path) -> None:
    shell.run(["sh", "-c", 'sh -c "sleep 0.2; echo late; echo late >&2; touch $0" &', str(tmp_path / "printed")])
    while not (tmp_path / "printed").exists():
        time.sleep(0.02)
    result = shell.run(["sh", "-c", "printf 'no end of line'"])
    assert (result.stdout, result.stderr) == ("no end of line", "")


def test_a_command_has_no_input_of_ours(shell: SshShell) -> None:
    assert shell.run(["cat"]).stdout == ""
    assert shell.run(["echo", "still there"]).stdout == "still there\n"


def test_without_a_shell_of_root_the_command_has_failed_as_sudo_says(
    shell: SshShell, server: SshServer, tmp_path: Path
) -> None:
    (tmp_path / "bin" / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    for _ in range(2):
        with pytest.raises(CommandFailed, match="a password is required") as caught:
            shell.run(["true"])
        assert caught.value.returncode == 1
    assert len(server.commands) == 2


def test_a_shell_of_root_that_has_ended_already_has_failed_as_sudo_says(
    server: SshServer, keys: PodKeys, tmp_path: Path
) -> None:
    (tmp_path / "bin" / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    connection = make_connection(server.port, keys)
    session = RootSession(connection.open_channel(), with_sudo=True)
    while session.is_usable:
        time.sleep(0.01)
    with pytest.raises(NotStarted) as caught:
        session.run(["true"], 10)
    connection.close()
    assert caught.value.end is not None
    assert (caught.value.end.returncode, caught.value.end.stderr.text()) == (1, "sudo: a password is required\n")


def test_a_node_that_prints_for_ever_before_it_takes_a_command_is_given_up(
    shell: SshShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iecpod.ssh.root_session._ANSWER_SECONDS", 0.5)
    (tmp_path / "bin" / "sudo").write_text("#!/bin/sh\nexec yes\n")
    start = time.monotonic()
    missing = r"does not answer on standard output and standard error within 0\.5 s; it printed: y"
    with pytest.raises(NodeUnreachable, match=missing):
        shell.run(["true"])
    assert time.monotonic() - start < 10


def test_a_shell_of_root_that_does_not_answer_is_tried_again_over_a_new_connection(
    shell: SshShell, server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iecpod.ssh.root_session._ANSWER_SECONDS", 2.0)
    silent = f'#!/bin/sh\nshift 2\nmkdir {tmp_path}/tried && exec sleep 5\nexec "$@"\n'
    (tmp_path / "bin" / "sudo").write_text(silent)
    assert shell.run(["echo", "done"]).stdout == "done\n"
    assert (server.connections, len(server.commands)) == (2, 2)


def test_an_answer_that_came_while_this_process_stood_still_counts(
    shell: SshShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iecpod.ssh.root_session._ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("iecpod.ssh.root_session.wait_for_data", lambda _channel, _seconds: time.sleep(2))
    assert shell.run(["echo", "done"]).stdout == "done\n"


def test_a_command_that_ended_while_this_process_stood_still_is_done(
    shell: SshShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iecpod.ssh.exchange.wait_for_data", lambda _channel, _seconds: time.sleep(2))
    assert shell.run(["cat"], stdin=b"done", timeout_seconds=1).stdout == "done"


def test_a_session_that_ended_takes_no_command_with_it(shell: SshShell, server: SshServer) -> None:
    session = shell.run(["sh", "-c", "cut -d ' ' -f 4 /proc/$PPID/stat"]).stdout.strip()
    os.kill(int(session), signal.SIGKILL)
    assert shell.run(["echo", "done"]).stdout == "done\n"
    assert (server.connections, len(server.commands)) == (1, 2)


def test_a_session_that_its_command_ends_is_an_error(shell: SshShell) -> None:
    with pytest.raises(NodeUnreachable, match="broke while `sh -c"):
        shell.run(["sh", "-c", "kill -9 $(cut -d ' ' -f 4 /proc/$PPID/stat); sleep 5"])
    assert shell.run(["echo", "back"]).stdout == "back\n"


def test_stdin_and_output_larger_than_any_window(shell: SshShell) -> None:
    content = os.urandom(4 * 1024 * 1024)
    result = shell.run(["sh", "-c", "tee /dev/stderr | wc -c"], stdin=content)
    assert result.stdout.strip() == str(len(content))


def test_input_that_nobody_reads_does_not_hang(shell: SshShell) -> None:
    assert shell.run(["sh", "-c", "echo done"], stdin=b"x" * 8_000_000, timeout_seconds=20).stdout == "done\n"


def test_only_the_end_of_very_long_output_is_kept(
    shell: SshShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MAX_KEPT_BYTES", 200_000)
    result = shell.run(["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo the end"])
    assert result.stdout.endswith("the end\n")
    assert "bytes left out" in result.stdout
    assert len(result.stdout) < 200_100
    (tmp_path / "log").write_bytes(b"x" * 500_000)
    with pytest.raises(CommandFailed, match="longer"):
        shell.read_file(str(tmp_path / "log"))


def test_a_file_without_an_end_is_not_waited_for(shell: SshShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_KEPT_BYTES", 200_000)
    start = time.monotonic()
    with pytest.raises(CommandFailed, match="it is longer than can be read"):
        shell.read_file("/dev/zero")
    assert time.monotonic() - start < 20
    assert shell.run(["echo", "still there"]).stdout == "still there\n"


class LateChannel:
    """Output, exit status and end arrive at once, after a look for output."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.has_ended = self.eof_received = self.closed = False

    def exit_status_ready(self) -> bool:
        if not self.has_ended:
            self.has_ended = self.eof_received = True
            self.waiting = [b"late", b" output"]
        return True

    def recv_ready(self) -> bool:
        return bool(self.waiting)

    def recv(self, _most: int) -> bytes:
        return self.waiting.pop(0)

    def recv_stderr_ready(self) -> bool:
        return False

    def shutdown_write(self) -> None: ...

    def recv_exit_status(self) -> int:
        return 0

    def get_transport(self) -> None: ...


def test_output_that_comes_with_the_exit_status_is_read() -> None:
    done = exchange.exchange(LateChannel(), b"", 60.0)  # type: ignore[arg-type]
    assert done.stdout.content() == b"late output"


def test_output_in_many_pieces_takes_no_more_than_its_bytes() -> None:
    kept = exchange.Capture(50_000)
    tracemalloc.start()
    for _ in range(200_000):
        kept.add(b"x")
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()
    assert (len(kept.content()), kept.dropped_bytes) == (50_000, 150_000)


def test_non_zero_exit_reports_command_status_and_output(shell: SshShell) -> None:
    with pytest.raises(CommandFailed) as caught:
        shell.run(["sh", "-c", "echo some text; echo why >&2; exit 7"])
    assert caught.value.returncode == 7
    assert caught.value.tail == "some text\nwhy"
    assert caught.value.node == "iec01"
    assert shell.run(["sh", "-c", "exit 7"], check=False).returncode == 7


def test_a_command_killed_by_a_signal_has_failed(shell: SshShell) -> None:
    with pytest.raises(CommandFailed) as caught:
        shell.run(["sh", "-c", "kill -9 $PPID"])
    assert caught.value.returncode != 0


def test_a_command_that_takes_too_long(shell: SshShell) -> None:
    start = time.monotonic()
    with pytest.raises(WaitTimeout) as caught:
        shell.run(["sh", "-c", "echo step 1; echo step 2; sleep 20"], timeout_seconds=0.7)
    assert time.monotonic() - start < 5
    assert caught.value.last_seen == "step 2"
    assert shell.run(["echo", "still there"]).stdout == "still there\n"


def test_a_command_that_never_stops_printing_takes_too_long(shell: SshShell) -> None:
    with pytest.raises(WaitTimeout):
        shell.run(["yes"], timeout_seconds=0.5)


def test_a_daemon_left_behind_does_not_hold_us_up(shell: SshShell) -> None:
    start = time.monotonic()
    assert shell.run(["sh", "-c", "sleep 15 & echo started"]).stdout == "started\n"
    assert time.monotonic() - start < 8


def test_a_connection_cut_while_idle_is_opened_again(shell: SshShell, server: SshServer) -> None:
    shell.run(["true"])
    server.cut()
    assert shell.run(["echo", "back"]).stdout == "back\n"
    assert server.connections == 2


def test_threads_that_need_a_connection_at_once_make_one(server: SshServer, shell: SshShell) -> None:
    threads = [threading.Thread(target=shell.connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert server.connections == 1


def test_a_connection_cut_under_a_command_is_an_error_and_the_command_is_not_repeated(
    shell: SshShell, server: SshServer
) -> None:
    shell.connect()
    threading.Timer(0.5, server.cut).start()
    with pytest.raises(NodeUnreachable, match="broke while"):
        shell.run(["sleep", "10"])
    assert len(server.commands) == 1
    assert shell.run(["echo", "back"]).stdout == "back\n"


def test_a_wrong_host_key_is_refused_before_anything_is_sent(server: SshServer, keys: PodKeys) -> None:
    server.host_key = paramiko.Ed25519Key.from_private_key_file(str(keys.private_key_file))
    with pytest.raises(NodeUnreachable, match="host key mismatch") as caught:
        make_shell(server.port, keys).run(["true"])
    assert "iecpod teardown" in caught.value.remedy
    assert server.commands == []


def test_a_host_key_of_another_type_is_refused(server: SshServer, keys: PodKeys) -> None:
    server.host_key = paramiko.ECDSAKey.generate()
    with pytest.raises(NodeUnreachable, match="host key"):
        make_shell(server.port, keys).run(["true"])
    assert server.commands == []


def test_a_refused_key_is_distinguished_from_a_node_that_is_down(server: SshServer, keys: PodKeys) -> None:
    with pytest.raises(NodeUnreachable, match="refuses the POD's key") as caught:
        make_shell(server.port, keys, user="root").connect()
    assert caught.value.remedy == "look at its console"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Authentication failed.", LoginRefused),
        ("Authentication timeout.", NodeUnreachable),
        ("Authentication failed: transport shut down or saw EOF", NodeUnreachable),
    ],
)
def test_a_key_without_an_answer_is_not_refused(keys: PodKeys, said: str, kind: type[NodeUnreachable]) -> None:
    connection = SshConnection(
        "iec01",
        "127.0.0.1",
        user="ubuntu",
        private_key_file=keys.private_key_file,
        host_key=keys.host_key("iec01")[1],
        open_socket=open_socket,
    )
    with pytest.raises(NodeUnreachable) as caught, connection.reachable("no connection"):
        raise paramiko.AuthenticationException(said)
    assert type(caught.value) is kind and said in caught.value.cause


def test_nothing_listens(keys: PodKeys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(NodeUnreachable, match="refused"):
        make_shell(port, keys).connect()
    assert time.monotonic() - start < 2


def test_what_answers_is_not_ssh(keys: PodKeys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        with pytest.raises(NodeUnreachable):
            make_shell(listener.getsockname()[1], keys).connect()


def test_write_file_makes_parents_and_sets_the_mode(shell: SshShell, tmp_path: Path) -> None:
    path = tmp_path / "new dir" / "deep" / "it's a file"
    content = os.urandom(300_000)
    shell.write_file(str(path), content, 0o640)
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert shell.read_file(str(path)) == content


@pytest.mark.parametrize("content", [b"program", b""])
def test_a_file_is_sent_with_its_mode(shell: SshShell, tmp_path: Path, content: bytes) -> None:
    local, path = tmp_path / "local", tmp_path / "bin" / "program"
    local.write_bytes(content)
    shell.send_file(local, str(path), 0o755)
    assert path.read_bytes() == content and path.stat().st_mode & 0o7777 == 0o755
    shell.send_file(local, str(path))
    assert path.stat().st_mode & 0o7777 == 0o644
    path.unlink()
    shell.send_file(local, str(path), compress=True)
    assert path.read_bytes() == content and path.stat().st_mode & 0o7777 == 0o644


def test_write_file_replaces_and_leaves_nothing_else(shell: SshShell, tmp_path: Path) -> None:
    directory = tmp_path / "etc"
    shell.write_file(str(directory / "hosts"), b"old", 0o600)
    shell.write_file(str(directory / "hosts"), b"")
    assert (directory / "hosts").read_bytes() == b""
    assert [path.name for path in directory.iterdir()] == ["hosts"]


def test_write_file_that_cannot_be_written_names_the_file_and_not_the_content(shell: SshShell, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(CommandFailed) as caught:
        shell.write_file(str(tmp_path / "taken"), b"secret")
    assert "taken" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.glob("taken.*")) == []


def test_a_write_that_was_cut_off_never_shows_up(shell: SshShell, server: SshServer, tmp_path: Path) -> None:
    def cut_in_the_middle() -> None:
        while not list(tmp_path.glob("image.*")):
            time.sleep(0.01)
        server.cut()

    threading.Thread(target=cut_in_the_middle, daemon=True).start()
    with pytest.raises(NodeUnreachable):
        shell.write_file(str(tmp_path / "image"), b"x" * 100_000_000)
    while list(tmp_path.glob("image.*")):
        time.sleep(0.01)
    assert not (tmp_path / "image").exists()


def test_read_file_that_is_not_there(shell: SshShell, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        shell.read_file(str(tmp_path / "nothing"))
