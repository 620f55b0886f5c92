"""Reporters: what people, logs and programs get to read."""

from __future__ import annotations

import io
import json
import logging
import threading
from pathlib import Path

import pytest
from rich.console import Console

from iecpod.adapters.event_lines import EVENTS, FIELDS_OF_ALL, JsonLinesReporter, Run
from iecpod.adapters.live_display import LiveReporter
from iecpod.adapters.plain_lines import PlainReporter, heartbeat
from iecpod.adapters.reporters import make_reporter
from iecpod.errors import UsageError
from iecpod.ports import Reporter


def tell(reporter: Reporter) -> None:
    reporter.phase_started("reachable", "guests booted")
    reporter.progress("kernel is booting", "iec01")
    reporter.progress("kernel is booting", "iec01")
    reporter.progress("answers to SSH", "iec01")
    reporter.warn("the clock is [old]")
    reporter.phase_finished("reachable", "done", 12.345)


def test_plain_lines() -> None:
    stream = io.StringIO()
    tell(PlainReporter(stream, clock=lambda: "12:00:00"))
    assert stream.getvalue().splitlines() == [
        "12:00:00 phase reachable: guests booted",
        "12:00:00   iec01: kernel is booting",
        "12:00:00   iec01: answers to SSH",
        "12:00:00 warning: the clock is [old]",
        "12:00:00 done: reachable, 12.3 s",
    ]


def test_json_lines() -> None:
    stream = io.StringIO()
    tell(JsonLinesReporter(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["phase-started", *["progress"] * 3, "warning", "phase-finished"]
    assert events[-1].items() >= {"phase": "reachable", "outcome": "done", "seconds": 12.345}.items()
    assert all(event["time"] for event in events)


def test_a_terminal_shows_the_phase_its_nodes_and_keeps_the_outcome() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=100)
    reporter = LiveReporter(console)
    reporter.phase_started("reachable", "guests booted")
    reporter.progress("kernel is booting", "iec01")
    with console.capture() as shown:
        console.print(reporter._render())
    assert "reachable" in shown.get() and "iec01: kernel is booting" in shown.get()
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
        tell(reporter)
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
        tell(reporter)
    assert ("\x1b[32m" in capsys.readouterr().err) is coloured


def test_a_dumb_terminal_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with make_reporter({"TERM": "dumb"}, is_terminal=True) as reporter:
        tell(reporter)
    assert "\x1b" not in capsys.readouterr().err


def test_events_file_and_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, logger="iecpod"),
        make_reporter({"IECPOD_EVENTS": str(tmp_path / "events")}, is_terminal=False) as reporter,
    ):
        tell(reporter)
    assert len((tmp_path / "events").read_text().splitlines()) == 6
    assert "phase reachable: guests booted" in caplog.messages
    assert "iec01: answers to SSH" in caplog.messages


def test_an_events_file_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    environ = {"IECPOD_EVENTS": str(tmp_path / "missing" / "events")}
    with pytest.raises(UsageError, match="events"), make_reporter(environ, is_terminal=False):
        pass


def test_a_reader_that_went_away_is_no_error() -> None:
    stream = io.StringIO()
    stream.close()
    tell(PlainReporter(stream))
    tell(JsonLinesReporter(stream))


def test_lines_of_several_threads_stay_whole() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream, clock=lambda: "t")
    threads = [
        threading.Thread(target=lambda node=node: [reporter.progress(f"step {n}", node) for n in range(100)])
        for node in ("iec01", "iec02", "iec03")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 300
    assert all(line.startswith("t   iec0") for line in lines)
