"""Work on nodes: what each took, and errors with the ends of consoles."""

from __future__ import annotations

import pytest

from iecpod.errors import (
    NodeErrors,
    NodeUnreachable,
    WaitTimeout,
)
from iecpod.results import Failure, NodeResult
from iecpod.wait import NotYet
from tests.fakes import FakeClock, RecordingReporter, fake_phase_tools

CONSOLE = "".join(f"\x1b[1;31mline {number}\x1b[0m\r\n" for number in range(40))
GO_ON = "resume with `iecpod deploy -l local -p virtual1`"


def never() -> None:
    raise NotYet("still booting")


def test_what_ended_is_reported_once_though_every_node_waited_for_it() -> None:
    tools = fake_phase_tools(console=CONSOLE, find_stopped=lambda: ("iec01",))
    with pytest.raises(NodeErrors) as caught:
        tools.node_times.on_nodes(
            ("iec02", "iec03"), lambda node: tools.waits.wait_for("a join", never, seconds=9, node=node)
        )
    assert (caught.value.cause.count("iec01"), caught.value.evidence.count("console of iec01")) == (1, 1)


def test_what_nodes_take_is_kept_and_reported() -> None:
    clock, reporter = FakeClock(), RecordingReporter()
    tools = fake_phase_tools(clock=clock, reporter=reporter, console=CONSOLE)
    unreachable = NodeUnreachable("iec02", "no route", "switch it on")

    def work(hostname: str) -> str:
        if hostname == "iec02":
            raise unreachable
        return hostname.upper()

    assert tools.node_times.on_nodes(("iec01",), work) == {"iec01": "IEC01"}
    with pytest.raises(NodeUnreachable):
        tools.node_times.on_nodes(("iec02",), work)
    assert tools.node_times.results == (
        NodeResult("iec01", "done", 0.0),
        NodeResult("iec02", "failed", 0.0, Failure.of(unreachable)),
    )
    assert unreachable.evidence.endswith("    line 39") and unreachable.remedy.endswith(GO_ON)
    assert reporter.nodes == [("iec01", "started"), ("iec01", "done"), ("iec02", "started"), ("iec02", "failed")]
    tools.begin("next")
    assert not tools.node_times.results


def test_every_console_is_shown_where_several_nodes_fail() -> None:
    def work(hostname: str) -> None:
        raise WaitTimeout(hostname, 1, "")

    with pytest.raises(NodeErrors) as caught:
        fake_phase_tools(console="panic").node_times.on_nodes(("iec01", "iec02"), work)
    assert caught.value.evidence.splitlines()[::2] == [
        "console of iec01, its last lines:",
        "console of iec02, its last lines:",
    ]
    assert int(caught.value.exit_code) == 5
    caught.value.hide(lambda text: text.replace("panic", "(secret)"))
    assert "panic" not in caught.value.evidence
