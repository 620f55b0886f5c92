"""A node for tests: its answers are scripted, its files are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from iecpod.errors import CommandFailed
from iecpod.ports import CommandResult

Reply = CommandResult | Exception | Callable[[Sequence[str], bytes], CommandResult]


class FakeShell:
    """Answers by the longest prefix of argv that was scripted with `on`; keeps calls and files.

    A command that is not scripted is an AssertionError: a test says what it expects. Where one prefix has several
    replies they are used up in order, and the last one stays.
    """

    def __init__(self, node: str = "iec01") -> None:
        self._node = node
        self._replies: dict[tuple[str, ...], list[Reply]] = {}
        self.calls: list[tuple[str, ...]] = []
        self.inputs: list[bytes] = []
        self.files: dict[str, bytes] = {}
        self.modes: dict[str, int] = {}
        self.closed = False

    @property
    def node(self) -> str:
        return self._node

    def on(self, *prefix: str, stdout: str = "", stderr: str = "", returncode: int = 0) -> FakeShell:
        return self.reply(prefix, CommandResult(returncode, stdout, stderr))

    def reply(self, prefix: Sequence[str], reply: Reply) -> FakeShell:
        """`reply` may also be an exception to raise, or a function of argv and stdin."""
        self._replies.setdefault(tuple(prefix), []).append(reply)
        return self

    def replace(self, prefix: Sequence[str], reply: Reply) -> None:
        """From now on the only reply to that prefix."""
        self._replies[tuple(prefix)] = [reply]

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float = 600.0, check: bool = True
    ) -> CommandResult:
        self.calls.append(tuple(argv))
        self.inputs.append(stdin)
        reply = self._next_reply(tuple(argv))
        if isinstance(reply, Exception):
            raise reply
        result = reply if isinstance(reply, CommandResult) else reply(argv, stdin)
        if check and result.returncode != 0:
            raise CommandFailed(self._node, argv, result.returncode, result.stderr or result.stdout)
        return result

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self.files[path] = content
        self.modes[path] = mode

    def send_file(self, local: Path, path: str, mode: int = 0o644, *, compress: bool = False) -> None:
        self.write_file(path, local.read_bytes(), mode)

    def read_file(self, path: str) -> bytes:
        if path not in self.files:
            raise CommandFailed(self._node, ["cat", path], 1, f"cat: {path}: No such file or directory")
        return self.files[path]

    def connect(self) -> None:
        """Fails as `true` does."""
        self.run(["true"])

    def close(self) -> None:
        self.closed = True

    def called(self, *prefix: str) -> bool:
        return any(call[: len(prefix)] == prefix for call in self.calls)

    def _next_reply(self, argv: tuple[str, ...]) -> Reply:
        matching = [prefix for prefix in self._replies if argv[: len(prefix)] == prefix]
        assert matching, f"{self._node}: not scripted: {' '.join(argv)}"
        replies = self._replies[max(matching, key=len)]
        return replies.pop(0) if len(replies) > 1 else replies[0]
