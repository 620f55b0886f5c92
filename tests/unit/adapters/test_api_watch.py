"""`HttpWatch` against a TLS server on loopback that reports changes as an API server does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from iecpod.adapters import api_watch
from iecpod.http.client import Size
from iecpod.ports import ApiWatch
from iecpod.ssh.keys import PodKeys
from tests.eventually import eventually
from tests.unit.adapters.test_api_client import Server, client_of, keys, server
from tests.unit.ssh.test_shell import make_shell, node_server

__all__ = ["keys", "server"]

PODS = "/api/v1/pods?labelSelector=app%3Dx"


@pytest.fixture
def watch(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiWatch]:
    monkeypatch.setattr(api_watch, "_RETRY_SECONDS", 0.05)
    with closing(client_of(server).watch([PODS, "/api/v1/nodes"])) as watch:
        yield watch


def test_it_begins_with_the_first_question_on_connections_of_its_own(server: Server, watch: ApiWatch) -> None:
    assert server.connections == 0 and not watch.has_changed()
    assert eventually(lambda: len(server.watched) == 2) and server.connections == 2
    assert sorted(server.watched) == [
        "/api/v1/nodes?watch=true&timeoutSeconds=300",
        f"{PODS}&watch=true&timeoutSeconds=300",
    ]
    assert not watch.has_changed()


def test_a_report_is_a_change_once(server: Server, watch: ApiWatch) -> None:
    for _ in range(2):
        server.reports.put(b'{"type": "MODIFIED"}\n')
        assert eventually(watch.has_changed) and not watch.has_changed()


def test_a_watch_that_has_ended_begins_again(server: Server, watch: ApiWatch) -> None:
    watch.has_changed()
    for _ in range(2):
        server.reports.put(b"")
    assert eventually(lambda: len(server.watched) == 4)
    server.reports.put(b"{}")
    assert eventually(watch.has_changed)


def test_reports_without_end_are_cut_off(server: Server, watch: ApiWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_watch, "_SIZE", Size(most_bytes=1000))
    watch.has_changed()
    server.reports.put(b"x" * 1001)
    assert eventually(lambda: len(server.watched) == 3)


def test_it_leaves_when_it_is_closed(server: Server) -> None:
    watch = client_of(server).watch([PODS])
    watch.has_changed()
    assert eventually(lambda: len(server.watched) == 1)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == PODS]
    watch.close()
    thread.join(20)
    assert not thread.is_alive()


def test_a_node_s_ssh_connection_leads_there_beside_requests(server: Server, tmp_path: Path, keys: PodKeys) -> None:
    ssh = node_server(tmp_path, keys)
    shell = make_shell(ssh.port, keys)
    client = client_of(server, shell.open_tunnel)
    with closing(client.watch([PODS])) as watch:
        watch.has_changed()
        assert client.request("GET", "/api", timeout_seconds=20).content == b"{}"
        server.reports.put(b"{}")
        assert eventually(watch.has_changed) and ssh.connections == 1
    shell.close()
    ssh.close()


def test_a_server_that_is_down_reports_nothing(server: Server) -> None:
    server.close()
    with closing(client_of(server).watch([PODS])) as watch:
        assert not eventually(watch.has_changed, 0.3)
