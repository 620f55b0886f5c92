"""A real SSH server on loopback that runs the commands it gets; `sudo` is a script that drops its options."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import paramiko
from paramiko import common

_SUDO = '#!/bin/sh\n[ "$1" = -n ] && [ "$2" = -- ] || exit 98\nshift 2\nexec "$@"\n'


class SshServer:
    """Listens until closed; with a `password`, that is taken, too.

    `cut()` drops all connections at once, as a node that is switched off does.
    """

    def __init__(self, directory: Path, host_key: paramiko.PKey, authorized_key: paramiko.PKey) -> None:
        self.host_key = host_key
        self.authorized_key = authorized_key
        self.commands: list[str] = []
        self.password = ""
        self.connections = 0
        self.forwards = True
        self._bin = directory / "bin"
        self._bin.mkdir(parents=True, exist_ok=True)
        (self._bin / "sudo").write_text(_SUDO)
        (self._bin / "sudo").chmod(0o755)
        self._open: list[tuple[socket.socket, paramiko.Transport]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for connection, transport in self._open:
            connection.close()
            transport.close()
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def run(self, channel: paramiko.Channel, command: str) -> None:
        self.commands.append(command)
        environment = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}"}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=pipe, stdout=pipe, stderr=pipe, env=environment, bufsize=0
        )
        assert process.stdin and process.stdout and process.stderr
        outputs = [
            threading.Thread(target=_pump_out, args=(process.stdout, channel.sendall), daemon=True),
            threading.Thread(target=_pump_out, args=(process.stderr, channel.sendall_stderr), daemon=True),
        ]
        threading.Thread(target=_pump_in, args=(channel, process.stdin), daemon=True).start()
        for thread in outputs:
            thread.start()
        process.wait()
        with contextlib.suppress(EOFError, OSError, paramiko.SSHException):  # the connection was cut
            if process.returncode >= 0:
                channel.send_exit_status(process.returncode)
            for thread in outputs:
                thread.join()
            channel.close()

    def forward(self, connection: socket.socket) -> None:
        """Between the next channel that a client has opened and what that is to lead to."""
        channel = self._next_channel()
        threading.Thread(target=_pump_in, args=(channel, connection.makefile("wb", buffering=0)), daemon=True).start()
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                channel.sendall(chunk)
        channel.close()

    def _next_channel(self) -> paramiko.Channel:
        """`accept` returns None before its time where another thread has taken the channel that it was woken for."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for _, transport in self._open:
                if (channel := transport.accept(1)) is not None:
                    return channel
        raise AssertionError("a client opens a channel where it asks for a way")

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            self._open.append((connection, transport))
            try:
                transport.start_server(server=_Session(self))
            except (paramiko.SSHException, EOFError, OSError):
                transport.close()


class _Session(paramiko.ServerInterface):
    def __init__(self, server: SshServer) -> None:
        self._server = server

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password" if self._server.password else "publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        allowed = username == "ubuntu" and bool(password) and password == self._server.password
        return common.AUTH_SUCCESSFUL if allowed else common.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        allowed = username == "ubuntu" and key == self._server.authorized_key
        return common.AUTH_SUCCESSFUL if allowed else common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return common.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        if not self._server.forwards:
            return common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            connection = socket.create_connection(destination, 5)
        except OSError:
            return common.OPEN_FAILED_CONNECT_FAILED
        threading.Thread(target=self._server.forward, args=(connection,), daemon=True).start()
        return common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._server.run, args=(channel, command.decode()), daemon=True).start()
        return True


def _pump_out(stream, send) -> None:  # type: ignore[no-untyped-def]
    try:
        while chunk := stream.read(65536):
            send(chunk)
    except (OSError, EOFError):  # paramiko raises EOFError while a connection is cut
        stream.close()


def _pump_in(channel: paramiko.Channel, stdin) -> None:  # type: ignore[no-untyped-def]
    try:
        while chunk := channel.recv(65536):
            stdin.write(chunk)
    except OSError:
        pass
    finally:
        stdin.close()
