"""Nodes that answer anything but what they are asked: each run ends as the docs say, and within its time.

`IECPOD_TEST_HOSTILE=5000` tries more, and `IECPOD_TEST_HOSTILE_SEED=7` others.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from iecpod.commands.deploy import deploy
from iecpod.commands.status import observe_status
from iecpod.deploy.phases import reachable
from iecpod.errors import CommandFailed, ExitCode, IecpodError, NodeUnreachable, WaitTimeout
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.pods.resolve import PodInputs
from iecpod.ports import BundleFiles, CommandResult, Shell
from iecpod.release.release import Release
from iecpod.release.scenario import Role
from iecpod.reports.run_report import Report
from tests.fakes import FakeShell
from tests.fakes.pod_tools import NODES, FakeTools
from tests.unit.commands.test_commands import layout, resolve
from tests.unit.descriptors.broken_pod import edited
from tests.unit.descriptors.mutator import places
from tests.unit.hostile.outside_watch import watched

__all__ = ["layout"]

RUNS = int(os.environ.get("IECPOD_TEST_HOSTILE", "240")) // 20
SEED = int(os.environ.get("IECPOD_TEST_HOSTILE_SEED", "1"))
MOST_SECONDS = 20.0
ENDS = set(ExitCode) - {ExitCode.BUG, ExitCode.INTERRUPTED, ExitCode.USAGE}

TEXTS = (
    *("", "\n", "\0", "x" * 300_000, "[" * 5000, "{" * 5000, "\x1b]0;x\x07\x1b[2J", "nan", "-1", "1e999", "9" * 5000),
    *("../../../etc/shadow", "$(touch made)", "null", "true", "[]", "{}", '{"items": null}', '{"items": [1]}'),
    *('{"items": [{"metadata": {"name": "../../x"}}]}', '{"items": {}}', "v1.20.2\nv9", "active\nactive", "done"),
    *("\udcff", "\u202e", "Error from server (NotFound)", "a=b\n" * 1000, "0 0 0", "100.0", "running"),
)
VALUES: tuple[Any, ...] = (None, True, -1, 1 << 70, 1.5, "", [], {}, [[]], {"": ""}, "x" * 5000, "../..", "\x1b[2J")


class LenientTools(FakeTools):
    """A hostile node may be given what a sound one has already."""

    def bundle(self, release: Release, arch: Arch, role: Role | None) -> BundleFiles:
        return BundleFiles(debs=(), programs=(), images=(), references=())


class LyingShell:
    """A sound node whose answers are others now and then; the same for the same seed, whatever threads do."""

    def __init__(self, shell: FakeShell, seed: str, share: float) -> None:
        self._shell, self._seed, self._share, self._number = shell, seed, share, 0

    @property
    def node(self) -> str:
        return self._shell.node

    def _rng(self) -> random.Random:
        self._number += 1
        return random.Random(f"{self._seed} {self.node} {self._number}")

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float = 600.0, check: bool = True
    ) -> CommandResult:
        rng = self._rng()
        try:
            sound = self._shell.run(argv, stdin=stdin, timeout_seconds=timeout_seconds, check=False)
        except AssertionError:  # a sound node would not be asked this
            sound = CommandResult(0, "", "")
        result = self._lie(rng, sound, argv) if rng.random() < self._share else sound
        if check and result.returncode != 0:
            raise CommandFailed(self.node, argv, result.returncode, result.stderr or result.stdout)
        return result

    def _lie(self, rng: random.Random, sound: CommandResult, argv: Sequence[str]) -> CommandResult:
        if rng.random() < 0.1:
            raise rng.choice((NodeUnreachable(self.node, "gone"), WaitTimeout(argv[0], 1.0, "")))
        text = _other(rng, sound.stdout) if rng.random() < 0.6 else rng.choice(TEXTS)
        return CommandResult(rng.choice((0, 0, 0, 1, 127, 255, -9)), text, rng.choice(TEXTS))

    def read_file(self, path: str) -> bytes:
        rng = self._rng()
        content = self._shell.read_file(path)
        if rng.random() >= self._share:
            return content
        lie = rng.choice((rng.randbytes(99), content[: len(content) // 2], rng.choice(TEXTS).encode("utf-8", "ignore")))
        at = rng.randrange(max(1, len(content)))
        return rng.choice((lie, content[:at] + lie + content[at:]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shell, name)


class SilentShell(LyingShell):
    """As `LyingShell`, and what it says is never that something is missing: it is silent, or talks nonsense."""

    def _lie(self, rng: random.Random, sound: CommandResult, argv: Sequence[str]) -> CommandResult:
        if rng.random() < 0.3:
            raise rng.choice((NodeUnreachable(self.node, "gone"), WaitTimeout(argv[0], 1.0, "")))
        cut = sound.stdout[: rng.randrange(max(1, len(sound.stdout)))]
        text = rng.choice(("", cut, cut, sound.stdout * 2, rng.choice(NONSENSE)))
        return CommandResult(rng.choice((0, 0, 0, 1, 127, 137, 255)), text, rng.choice(NONSENSE))


#: No object of JSON: that would be an answer of the API server, as is `NotFound`.
NONSENSE = tuple(text for text in TEXTS if not text.startswith('{"') and text != "{}" and "NotFound" not in text)


def _other(rng: random.Random, text: str) -> str:
    """JSON with another value in a place; of other text a part, or more than all."""
    try:
        data = json.loads(text)
        place = rng.choice([place for place in places(data) if place])
    except (ValueError, IndexError):
        return rng.choice((text[: rng.randrange(len(text) + 1)], text * 2, text + rng.choice(TEXTS)))
    return json.dumps(edited(data, place, rng.choice(VALUES)))


def _outcome(run: Callable[[], object]) -> str:
    """Empty where it ended as it may."""
    try:
        run()
    except IecpodError as error:
        return "" if error.exit_code in ENDS else f"exit code {error.exit_code}"
    return ""


def _read_whole(report: Report) -> None:
    dataclasses.asdict(report)


def _run(verb: str, inputs: PodInputs, tools: FakeTools) -> None:
    if verb == "status":
        observe_status(inputs, tools).to_text()
    else:
        deploy(inputs, tools, _read_whole)


@pytest.mark.parametrize("verb", ["status", "deploy", "deploy of one that is there"])
def test_whatever_nodes_answer(verb: str, tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names relative to an open directory are watched as relative to this
    for number in range(RUNS):
        directory = tmp_path / str(number)
        directory.mkdir()
        tools, inputs = LenientTools(directory, layout), resolve(layout)
        if verb != "deploy":
            deploy(inputs, tools, lambda _report: None)
        seed = f"{SEED} {verb} {number}"
        share = random.Random(seed).choice((0.02, 0.1, 0.5))
        lying: dict[str, Shell] = {name: LyingShell(tools.node_shells[name], seed, share) for name in NODES}
        tools.node_shells = lying  # type: ignore[assignment]
        started = time.monotonic()
        with watched(tmp_path) as seen:
            outcome = _outcome(functools.partial(_run, verb, inputs, tools))
        assert (outcome, seen) == ("", []), seed
        assert time.monotonic() - started < MOST_SECONDS, seed


#: What a run may do besides what a deploy does that finds all in place: more looks, while it waits.
_LOOKS = (
    ("true",),
    ("cat", "/proc/sys/kernel/random/boot_id"),
    ("sh", "-c", reachable._WAIT),
    ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get"),
)


def _changes(shell: FakeShell, since: int, known: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
    calls = [call for call in shell.calls[since:] if call not in known]
    return [call for call in calls if not any(call[: len(look)] == look for look in _LOOKS)]


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6, 1.0])
def test_silence_and_nonsense_change_nothing_on_a_pod_that_is_there(
    share: float, tmp_path: Path, layout: Layout
) -> None:
    """No reset, no restart, no deletion of a Node, no file is written: whatever is run, a sound deploy runs, too."""
    outcomes = set()
    for number in range(RUNS):
        directory = tmp_path / str(number)
        directory.mkdir()
        tools, inputs = LenientTools(directory, layout), resolve(layout)
        deploy(inputs, tools, lambda _report: None)
        sound = dict(tools.node_shells)
        begun = {name: len(shell.calls) for name, shell in sound.items()}
        deploy(inputs, tools, lambda _report: None)
        known = {name: set(shell.calls[begun[name] :]) for name, shell in sound.items()}
        begun = {name: len(shell.calls) for name, shell in sound.items()}
        files = {name: dict(shell.files) for name, shell in sound.items()}
        seed = f"{SEED} silence {share} {number}"
        tools.node_shells = {name: SilentShell(sound[name], seed, share) for name in NODES}  # type: ignore[misc]
        before = tools.hypervisor.observe()
        try:
            outcomes.add(deploy(inputs, tools, lambda _report: None).outcome)
        except IecpodError as error:
            outcomes.add(str(error.exit_code))
        changes = {name: _changes(sound[name], begun[name], known[name]) for name in NODES}
        assert changes == {name: [] for name in NODES}, seed
        assert {name: shell.files for name, shell in sound.items()} == files, seed
        assert tools.hypervisor.observe() == before, seed
    assert outcomes - {"in place"}, "some of it must be an error"
