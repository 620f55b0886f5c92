"""What a cluster's API server has, asked over HTTP: found, missing, refused, or not known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from iecpod.errors import ApiRefused, NodeError, NodeUnreachable
from iecpod.outside_json import Bounds, Json, parse_json
from iecpod.ports import MOST_API_ANSWER_BYTES, ApiAnswer, ApiServer, ApiWatch
from iecpod.yaml.document import load_yaml_all

BOUNDS = Bounds(size_bytes=MOST_API_ANSWER_BYTES, values=2_000_000)

_NOT_FOUND = 404
_TOO_MANY = 429
_MOST_REASON_CHARACTERS = 1000
#: Of server-side apply: whose fields they are. Fields that others hold are taken over.
_APPLY = "fieldManager=iecpod&force=true"


class Api:
    """Kept for a run, so that it asks once what the server calls its kinds.

    Raises `ApiRefused` where the server says no, and `NodeUnreachable` where it says nothing that counts: it does not
    answer, or only that it cannot at the moment.
    """

    def __init__(self, server: ApiServer, node: str, *, applies: bool) -> None:
        """`applies`: it knows server-side apply."""
        self.applies = applies
        self._server = server
        self._node = node
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def is_ready(self) -> bool:
        return self._server.is_ready()

    def watch(self, paths: Sequence[str]) -> ApiWatch:
        return self._server.watch(paths)

    def load(self, path: str, *, timeout_seconds: float) -> Json:
        answer = self._ask("GET", path, timeout_seconds=timeout_seconds)
        return parse_answer(self._node, path, answer.content)

    def check(self, path: str, *, timeout_seconds: float) -> None:
        """Of a path that answers with a status, and a text for people: `/readyz`."""
        self._ask("GET", path, timeout_seconds=timeout_seconds)

    def sent_at(self, path: str, *, timeout_seconds: float) -> float | None:
        """Unix time by the clock of whoever answers at that path: a kubelet, where the server passes it on."""
        return self._ask("GET", path, timeout_seconds=timeout_seconds).sent_at

    def find(self, path: str, *, timeout_seconds: float) -> Json | None:
        """As `load`; None where the server says that there is no such object."""
        try:
            return self.load(path, timeout_seconds=timeout_seconds)
        except ApiRefused as refused:
            if refused.status == _NOT_FOUND:
                return None
            raise

    def discard(self, path: str, *, timeout_seconds: float) -> None:
        """Deletes what is there; nothing happens where nothing is."""
        try:
            self._ask("DELETE", path, timeout_seconds=timeout_seconds)
        except ApiRefused as refused:
            if refused.status != _NOT_FOUND:
                raise

    def create(self, manifest: Mapping[str, Any], *, timeout_seconds: float) -> None:
        path = self._collection(Json(manifest, "", self._refuse), timeout_seconds)
        self._ask("POST", path, json.dumps(manifest).encode(), timeout_seconds=timeout_seconds)

    def apply(self, manifest: str, *, timeout_seconds: float) -> None:
        """Server-side apply of each object of a manifest, in its order."""
        for item in _objects(manifest, self._refuse):
            name = quote(item.at("metadata").text("name"), safe="")
            path = f"{self._collection(item, timeout_seconds)}/{name}?{_APPLY}"
            body = json.dumps(item.value).encode()
            self._ask("PATCH", path, body, "application/apply-patch+yaml", timeout_seconds=timeout_seconds)

    def _refuse(self, why: str) -> NodeError:
        return NodeError(self._node, f"a manifest cannot be applied: {why}", "correct the manifest")

    def _collection(self, item: Json, timeout_seconds: float) -> str:
        """The path of the list that an object belongs to."""
        version = quote(item.text("apiVersion"))
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural, is_namespaced = self._kind(root, item.text("kind"), timeout_seconds)
        if not is_namespaced:
            return f"{root}/{plural}"
        namespace = item.at("metadata").text("namespace", "default")
        return f"{root}/namespaces/{quote(namespace, safe='')}/{plural}"

    def _kind(self, root: str, kind: str, timeout_seconds: float) -> tuple[str, bool]:
        """How paths call it, and whether it is in namespaces. Kinds may be added while a cluster is set up."""
        if kind not in self._kinds.get(root, {}):
            found = self.find(root, timeout_seconds=timeout_seconds)
            self._kinds[root] = dict(_kinds(found)) if found else {}
        try:
            return self._kinds[root][kind]
        except KeyError:
            raise ApiRefused(self._node, f"GET {root}", _NOT_FOUND, f"it knows no {kind}") from None

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        *,
        timeout_seconds: float,
    ) -> ApiAnswer:
        answer = self._server.request(
            method, path, body=body, content_type=content_type, timeout_seconds=timeout_seconds
        )
        if answer.status == _TOO_MANY or answer.status >= 500:
            said = f"the API server answers `{method} {path}` with {answer.status}: {_reason(answer.content)}"
            raise NodeUnreachable(self._node, said)
        if not 200 <= answer.status < 300:
            raise ApiRefused(self._node, f"{method} {path}", answer.status, _reason(answer.content))
        return answer


def parse_answer(node: str, path: str, content: bytes | str) -> Json:
    """What the API has at `path`. What is of another form raises `NodeError` where it is read."""

    def refuse(why: str) -> NodeError:
        remedy = "see what runs on that node with `iecpod ssh`"
        return NodeError(node, f"the API server's answer for {path} is not understood: {why}", remedy)

    return parse_json(content, refuse, BOUNDS)


def _reason(content: bytes) -> str:
    """The message of a Kubernetes Status, or the beginning of another text."""
    try:
        text = parse_json(content, ValueError, Bounds()).text("message")
    except ValueError:
        text = content[:_MOST_REASON_CHARACTERS].decode(errors="replace").strip()
    return text[:_MOST_REASON_CHARACTERS] or "no reason"


def _kinds(listing: Json) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Of an APIResourceList; a name with a slash is a part of another kind."""
    for entry in listing.entries("resources"):
        name = entry.text("name")
        if "/" not in name:
            yield entry.text("kind"), (quote(name, safe=""), entry.flag("namespaced"))


def _objects(manifest: str, refuse: Callable[[str], NodeError]) -> Iterator[Json]:
    """Of all documents, those that have anything in them; a List stands for its items."""
    for document in load_yaml_all(manifest, "manifest"):
        if document.data:
            item = Json(document.data, "", refuse)
            yield from item.entries("items") if item.text("kind") == "List" else (item,)
