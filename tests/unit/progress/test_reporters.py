"""Reporters: what people, logs and programs get to read."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from pathlib import Path

import pytest
from rich.console import Console

from iecpod.errors import HostError, Interrupted, UsageError
from iecpod.model import PodRef
from iecpod.ports import Reporter
from iecpod.progress.event_lines import EVENTS, FIELDS_OF_ALL, JsonLinesReporter, Run
from iecpod.progress.live_display import LiveReporter
from iecpod.progress.plain_lines import PlainReporter, heartbeat
from iecpod.progress.reporters import LogReporter, make_reporter
from tests.unit.descriptors.broken_pod import ROOT

RUN = Run("0123456789ab", "deploy", PodRef("local", "virtual1"))


def notify(reporter: Reporter) -> None:
    reporter.phase_started("reachable", "guests booted")
    reporter.node_started("iec01")
    reporter.progress("kernel is booting", "iec01")
    reporter.progress("kernel is booting", "iec01")
    reporter.progress("answers to SSH", "iec01")
    reporter.waiting("cloud-init", "modules", "iec01")
    reporter.warn("the clock is [old]")
    reporter.node_finished("iec01", "done", 12.0)
    reporter.phase_finished("reachable", "done", 12.345)


def test_plain_lines() -> None:
    stream = io.StringIO()
    notify(PlainReporter(stream, clock=lambda: "12:00:00"))
    assert stream.getvalue().splitlines() == [
        "12:00:00 phase reachable: guests booted",
        "12:00:00   iec01: kernel is booting",
        "12:00:00   iec01: answers to SSH",
        "12:00:00 warning: the clock is [old]",
        "12:00:00   iec01: done, 12.0 s",
        "12:00:00 done: reachable, 12.3 s",
    ]


def test_a_wait_is_reported_off_a_terminal_after_a_minute_without_output() -> None:
    stream, seconds = io.StringIO(), [0.0]
    reporter = PlainReporter(stream, clock=lambda: "t", now=lambda: seconds[0])
    reporter.report_silence()
    reporter.phase_started("reachable", "guests booted")
    for now in range(0, 200, 5):
        seconds[0] = float(now)
        reporter.waiting("SSH", f"refused {now}", "iec01")
        reporter.waiting("cloud-init", "", "iec02")
        reporter.report_silence()
    assert stream.getvalue().splitlines()[1:] == [
        "t still reachable, 60 s | iec01: waits for SSH, 60 s: refused 60 | iec02: waits for cloud-init, 60 s",
        "t still reachable, 120 s | iec01: waits for SSH, 120 s: refused 120 | iec02: waits for cloud-init, 120 s",
        "t still reachable, 180 s | iec01: waits for SSH, 180 s: refused 180 | iec02: waits for cloud-init, 180 s",
    ]


def test_silence_without_a_phase_is_broken_where_something_was_started() -> None:
    stream, seconds = io.StringIO(), [0.0]
    reporter = PlainReporter(stream, clock=lambda: "t", now=lambda: seconds[0])
    seconds[0] = 100.0
    reporter.report_silence()
    reporter.progress("compiling Kubernetes")
    seconds[0] = 170.0
    reporter.report_silence()
    assert stream.getvalue().splitlines() == ["t   compiling Kubernetes", "t still compiling Kubernetes, 70 s"]


def test_silence_of_many_nodes_is_one_line_of_bounded_length() -> None:
    stream, seconds = io.StringIO(), [0.0]
    reporter = PlainReporter(stream, clock=lambda: "t", now=lambda: seconds[0])
    reporter.phase_started("workers", "joins")
    for number in range(100):
        reporter.node_started(f"iec{number:03}")
    reporter.node_finished("iec000", "done", 1.0)
    seconds[0] = 61.0
    reporter.report_silence()
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("t still workers, 61 s | iec001: started, 61 s | ") and last.endswith(" | and 91 more")


def test_the_log_has_what_a_wait_sees_when_it_differs_and_not_too_often(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "iecpod.run")
    now = iter((0.0, 0.0, 5.0, 11.0, 11.0))
    reporter = LogReporter(lambda: next(now))
    for seen in ("silence", "silence", "a kernel", "a kernel"):
        reporter.waiting("SSH", seen, "iec01")
    assert caplog.messages == ["iec01: waits for SSH: silence", "iec01: waits for SSH: a kernel"]


def test_a_heartbeat_ends_with_its_block() -> None:
    before = threading.active_count()
    with heartbeat(PlainReporter(io.StringIO())):
        assert threading.active_count() == before + 1
    for thread in threading.enumerate():
        if thread.name.startswith("heartbeat"):
            thread.join(timeout=10)
    assert threading.active_count() == before


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines() -> None:
    stream = io.StringIO()
    reporter = JsonLinesReporter(stream, RUN)
    with reporter.whole_run():
        notify(reporter)
        reporter.progress("afterwards")
    events = lines_of(stream)
    assert [event["event"] for event in events] == [
        *("run-started", "phase-started", "node-started", *["progress"] * 3, "waiting", "warning"),
        *("node-finished", "phase-finished", "progress", "run-finished"),
    ]
    common = {"run_id": "0123456789ab", "verb": "deploy", "lab": "local", "pod": "virtual1"}
    assert all(event["time"] and event.items() >= common.items() for event in events)
    fields = [{key: value for key, value in event.items() if key not in FIELDS_OF_ALL} for event in events]
    assert fields[2] == {"phase": "reachable", "node": "iec01"}
    assert fields[-4] == {"phase": "reachable", "node": "iec01", "outcome": "done", "seconds": 12.0}
    assert fields[-3] == {"phase": "reachable", "outcome": "done", "seconds": 12.345}
    assert fields[-2] == {"message": "afterwards"}
    assert fields[-1].keys() == {"outcome", "seconds"}


def test_a_wait_is_an_event_once_a_minute() -> None:
    stream, seconds = io.StringIO(), [0.0]
    reporter = JsonLinesReporter(stream, RUN, now=lambda: seconds[0])
    for now in range(130):
        seconds[0] = float(now)
        reporter.waiting("SSH", f"refused {now}", "iec01")
    reporter.waiting("cloud-init", "", "iec01")
    assert [(event["awaited"], event["last_seen"]) for event in lines_of(stream)] == [
        ("SSH", "refused 0"),
        ("SSH", "refused 60"),
        ("SSH", "refused 120"),
        ("cloud-init", ""),
    ]


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (HostError("the mirror is away", "try again"), ("failed", "the mirror is away", "try again")),
        (Interrupted("interrupted in phase cni", "deploy"), ("interrupted", "interrupted in phase cni", "deploy")),
        (ZeroDivisionError("x"), ("failed", "ZeroDivisionError: x", "")),
    ],
)
def test_the_last_event_says_why_a_run_failed(error: BaseException, answer: tuple[str, str, str]) -> None:
    stream = io.StringIO()
    with pytest.raises(type(error)), JsonLinesReporter(stream, RUN).whole_run():
        raise error
    last = lines_of(stream)[-1]
    assert (last["event"], last["outcome"], last["cause"], last["remedy"]) == ("run-finished", *answer)
    assert last["evidence"] == ""


def test_docs_name_every_event_with_its_fields() -> None:
    text = (ROOT / "docs" / "events.md").read_text()
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    names = [[re.findall(r"`([a-z_-]+)`", cell) for cell in row] for row in rows]
    assert {row[0][0]: tuple(row[2]) for row in names if len(row) == 3} == EVENTS
    assert tuple(name for row in names if len(row) == 2 for name in row[0]) == FIELDS_OF_ALL


def test_a_terminal_shows_the_phase_its_nodes_and_keeps_the_outcome() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=100)
    reporter = LiveReporter(console)
    reporter.phase_started("reachable", "guests booted")
    reporter.progress("kernel is booting", "iec01")
    with console.capture() as shown:
        console.print(reporter._render())
    assert "reachable" in shown.get() and "iec01: kernel is booting, 0 s" in shown.get()
    reporter.waiting("SSH", "connection refused; " * 20, "iec01")
    reporter.node_finished("iec02", "done", 34.5)
    page = Console(file=io.StringIO(), color_system=None, width=100)
    with page.capture() as shown:
        page.print(reporter._render())
    assert [line.strip()[:50] for line in shown.get().splitlines()[1:]] == [
        "iec01: waits for SSH, 0 s: connection refused; con",
        "iec02: done, 34 s",
    ]
    reporter.phase_finished("reachable", "done", 12.345)
    reporter.warn("the clock is [old]")
    reporter.close()
    kept = stream.getvalue().split("    done")[-1]
    assert kept.startswith("  reachable         12.3 s\n")
    assert "guests booted" not in kept
    assert "warning  the clock is [old]" in stream.getvalue()


def test_a_terminal_is_left_alone_by_a_command_without_phases() -> None:
    stream = io.StringIO()
    LiveReporter(Console(file=stream, force_terminal=True)).close()
    assert stream.getvalue() == ""


def test_off_a_terminal_there_are_plain_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with make_reporter({}, is_terminal=False) as reporter:
        notify(reporter)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "phase reachable: guests booted\n" in printed.err
    assert "\x1b" not in printed.err


@pytest.mark.parametrize(
    ("environ", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
def test_no_color(
    environ: dict[str, str], coloured: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with make_reporter(environ, is_terminal=True) as reporter:
        notify(reporter)
    assert ("\x1b[32m" in capsys.readouterr().err) is coloured


def test_a_dumb_terminal_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with make_reporter({"TERM": "dumb"}, is_terminal=True) as reporter:
        notify(reporter)
    assert "\x1b" not in capsys.readouterr().err


def test_events_file_and_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, logger="iecpod"),
        make_reporter({}, is_terminal=False, events=(tmp_path / "events", RUN)) as reporter,
    ):
        notify(reporter)
    assert len((tmp_path / "events").read_text().splitlines()) == 11
    assert "phase reachable: guests booted" in caplog.messages
    assert "iec01: answers to SSH" in caplog.messages


def test_an_events_file_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    events = (tmp_path / "missing" / "events", RUN)
    with pytest.raises(UsageError, match="events"), make_reporter({}, is_terminal=False, events=events):
        pass


def test_a_reader_that_went_away_is_no_error() -> None:
    stream = io.StringIO()
    stream.close()
    notify(PlainReporter(stream))
    notify(JsonLinesReporter(stream, RUN))


def test_lines_of_several_threads_stay_whole() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream, clock=lambda: "t")

    def report(node: str) -> None:
        for step in range(100):
            reporter.progress(f"step {step}", node)

    threads = [threading.Thread(target=report, args=(node,)) for node in ("iec01", "iec02", "iec03")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 300
    assert all(line.startswith("t   iec0") for line in lines)
