"""What a node has, and what is no answer: scripts run here, nodes answer from a script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iecpod.deploy.node.node_probe import IS_ACTIVE, is_in_place, probe_script, read_probe
from iecpod.errors import HostKeyMismatch, LoginRefused, NodeUnreachable, WaitTimeout
from iecpod.ports import CommandResult
from tests.fakes import FakeShell, fake_phase_tools
from tests.fakes.probes import IN_PLACE, MISSING


def _printed(check: str, directory: Path = Path("/nowhere")) -> str:
    environment = {"PATH": f"{directory}:/usr/bin:/bin"}
    argv = ["sh", "-c", probe_script(check), "probe", "x.service"]
    return subprocess.run(argv, capture_output=True, text=True, env=environment, check=True).stdout


@pytest.mark.parametrize(
    ("check", "found"),
    [
        ("echo aloud; test -e /", True),
        ("test -e /nowhere", False),
        ("false; true", False),
        ("exit 2", None),
        ('echo "$unset"', None),
        ("no-such-program-of-iecpod", None),
        ("sh -c 'kill -KILL $$'", None),
    ],
)
def test_only_a_check_that_has_looked_says_what_is_there(check: str, found: bool | None) -> None:
    assert read_probe(_printed(check)) is found


@pytest.mark.parametrize(
    ("state", "found"),
    [("active", True), ("reloading", True), ("inactive", False), ("failed", False), ("", None), ("unknown", None)],
)
def test_a_systemd_that_does_not_answer_has_not_said_that_a_unit_is_off(
    state: str, found: bool | None, tmp_path: Path
) -> None:
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\necho {state}\nexit 3\n")
    (tmp_path / "systemctl").chmod(0o755)
    assert read_probe(_printed(f'{IS_ACTIVE}\nis_active "$1"', tmp_path)) is found


@pytest.mark.parametrize("answer", [IN_PLACE, MISSING])
def test_silence_is_waited_for(answer: str) -> None:
    shell = FakeShell().reply(("sh",), NodeUnreachable("iec01", "no route to host"))
    shell.reply(("sh",), WaitTimeout("sh", 120, "")).on("sh", stderr="sudo: a password is required", returncode=1)
    shell.on("sh", stdout=answer)
    assert is_in_place(shell, fake_phase_tools().waits, "true") is (answer == IN_PLACE)
    assert len(shell.calls) == 4


@pytest.mark.parametrize(
    "reply",
    [
        CommandResult(1, "", ""),
        CommandResult(255, MISSING, ""),
        CommandResult(0, "", ""),
        CommandResult(0, MISSING * 2, ""),
        CommandResult(0, MISSING[:-1], ""),
        NodeUnreachable("iec01", "no route to host"),
    ],
)
def test_what_is_no_answer_is_an_error_in_the_end(reply: CommandResult | Exception) -> None:
    with pytest.raises(WaitTimeout) as caught:
        is_in_place(FakeShell().reply(("sh",), reply), fake_phase_tools().waits, "true")
    assert "iec01: an answer of the node: not within 60 s; last seen: " in caught.value.cause


@pytest.mark.parametrize("kind", [LoginRefused, HostKeyMismatch])
def test_a_node_that_lets_nobody_in_is_not_waited_for(kind: type[NodeUnreachable]) -> None:
    shell = FakeShell().reply(("sh",), kind("iec01", "refuses the POD's key", "put it back"))
    with pytest.raises(kind) as caught:
        is_in_place(shell, fake_phase_tools().waits, "true")
    assert caught.value.remedy == "put it back" and len(shell.calls) == 1
