"""An API server for tests: it keeps objects by their paths, and may be silent, or answer something else, at times."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from iecpod.errors import NodeUnreachable
from iecpod.ports import ApiAnswer

_KINDS = {
    "/api/v1": {
        "Node": ("nodes", False),
        "Namespace": ("namespaces", False),
        "Pod": ("pods", True),
        "Service": ("services", True),
        "ConfigMap": ("configmaps", True),
        "Secret": ("secrets", True),
        "ReplicationController": ("replicationcontrollers", True),
    },
    "/apis/networking.k8s.io/v1": {"NetworkPolicy": ("networkpolicies", True)},
}


class FakeWatch:
    """It reports a change as soon as any object is another."""

    def __init__(self, server: FakeApiServer, paths: Sequence[str]) -> None:
        self.server = server
        self.paths = tuple(paths)
        self.is_closed = False
        self.seen: str | None = None

    def has_changed(self) -> bool:
        assert not self.is_closed
        before, self.seen = self.seen, json.dumps(self.server.objects, sort_keys=True, default=str)
        return before != self.seen and self.server.reports

    def close(self) -> None:
        self.is_closed = True


class FakeApiServer:
    """`objects` by path; `clocks` has Unix time by the node, of kubelets that answer.

    What is in `next_answers` comes first, an exception is raised.
    """

    def __init__(self, objects: Mapping[str, Any] | None = None) -> None:
        self.objects: dict[str, Any] = dict(objects or {})
        self.clocks: dict[str, float] = {}
        self.requests: list[str] = []
        self.bodies: list[Any] = []
        self.next_answers: list[ApiAnswer | Exception] = []
        self.kinds = {root: dict(kinds) for root, kinds in _KINDS.items()}
        self.ready = True
        self.watches: list[FakeWatch] = []
        self.reports = True

    def is_ready(self) -> bool:
        return self.ready

    def watch(self, paths: Sequence[str]) -> FakeWatch:
        self.watches.append(FakeWatch(self, paths))
        return self.watches[-1]

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        timeout_seconds: float,
    ) -> ApiAnswer:
        self.requests.append(f"{method} {path}")
        self.bodies.append(json.loads(body) if body else None)
        if self.next_answers:
            answer = self.next_answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return self._answer(method, urlsplit(path).path, parse_qs(urlsplit(path).query), body)

    def _answer(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> ApiAnswer:
        if method == "GET" and path in self.kinds:
            resources = [
                {"name": name, "kind": kind, "namespaced": is_namespaced}
                for kind, (name, is_namespaced) in self.kinds[path].items()
            ]
            # As the real one: a part of a kind has that kind's name, or another.
            return _said(200, {"resources": [*resources, {"name": "pods/x", "kind": "Pod", "namespaced": True}]})
        if method == "POST":
            return self._create(path, json.loads(body))
        if method == "PATCH":
            assert query == {"fieldManager": ["iecpod"], "force": ["true"]}
            self.objects[path] = json.loads(body)
            return _said(200, self.objects[path])
        if (parts := path.split("/"))[-2:] == ["proxy", "healthz"]:
            return ApiAnswer(200, b"ok", self.clocks[parts[-3]]) if parts[-3] in self.clocks else BUSY
        if path not in self.objects:
            return _said(404, {"kind": "Status", "message": f"{path} not found"})
        return _said(200, self.objects[path] if method == "GET" else self.objects.pop(path))

    def _create(self, path: str, item: Any) -> ApiAnswer:
        path = f"{path}/{item['metadata']['name']}"
        if path in self.objects:
            return _said(409, {"kind": "Status", "message": f"{path} already exists"})
        self.objects[path] = item
        return _said(201, item)


def _said(status: int, body: Any) -> ApiAnswer:
    return ApiAnswer(status, json.dumps(body).encode())


#: What a client makes of an API server that restarts.
SILENT = NodeUnreachable("iec01", "the API server at 172.16.10.36:6443 does not answer: Connection refused")
BUSY = _said(503, {"kind": "Status", "message": "etcdserver: leader changed"})
FORBIDDEN = _said(403, {"kind": "Status", "message": "nodes is forbidden"})
