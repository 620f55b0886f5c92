"""What Ginkgo says, as recorded of a small suite of its version 2.32, the one of Kubernetes 1.37's tests."""

from __future__ import annotations

import pytest

from iecpod.conformance.ginkgo import (
    FAILED,
    NOT_RUN,
    PASSED,
    SKIPPED,
    GinkgoLines,
    SpecResult,
    first_lines,
    read_junit,
)
from iecpod.errors import HostError
from tests.fakes.conformance_bench import RECORDED

DNS = "[sig-network] DNS should provide DNS for the cluster [Conformance]"
DNS_SERVICES = "[sig-network] DNS should provide DNS for services [Conformance]"
PODS = "[sig-node] Pods should be updated"
PODS_TWICE = "[sig-node] Pods should be updated twice [Conformance]"
NAMES = (DNS, DNS_SERVICES, PODS, PODS_TWICE)


def read_lines(content: bytes, size: int) -> tuple[list[str], dict[str, SpecResult]]:
    """What is seen of output that comes in pieces of `size` bytes, and the results."""
    seen: list[str] = []
    lines = GinkgoLines(NAMES, lambda name: seen.append(f"> {name}"), lambda result: seen.append(f"< {result.name}"))
    for start in range(0, len(content), size):
        lines.feed(content[start : start + size])
    return seen, lines.results


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_each_test_is_seen_as_it_begins_and_ends(size: int) -> None:
    seen, results = read_lines((RECORDED / "run.log").read_bytes(), size)
    order = (DNS, PODS, PODS_TWICE, DNS_SERVICES)
    assert seen == [f"{mark} {name}" for name in order for mark in "><"]
    outcomes = {name: (result.outcome, result.seconds) for name, result in results.items()}
    assert outcomes == {
        DNS: (PASSED, 1.201),
        PODS: (SKIPPED, 0.0),
        PODS_TWICE: (PASSED, 0.0),
        DNS_SERVICES: (FAILED, 0.0),
    }


def test_a_test_that_ran_out_of_time_has_failed() -> None:
    _, results = read_lines((RECORDED / "timed-out.log").read_bytes(), 4096)
    assert (results[DNS_SERVICES].outcome, results[DNS_SERVICES].seconds) == (FAILED, 1.801)


def test_what_no_test_says_is_no_result() -> None:
    seen, results = read_lines((RECORDED / "broken.log").read_bytes(), 4096)
    assert (seen, results) == ([], {})
    seen, _ = read_lines(b"------------------------------\n" + DNS.encode() + b" and more\n", 4096)
    assert seen == []


def test_lines_that_never_end_take_bounded_memory() -> None:
    lines = GinkgoLines(NAMES, lambda _name: None, lambda _result: None)
    for _ in range(5):
        lines.feed(b"x" * (1 << 20))
    assert len(lines._rest) <= 1 << 20


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("• [1.000 seconds]", PASSED),
        ("• [FAILED] [1.000 seconds]", FAILED),
        ("• [PANICKED!] [1.000 seconds]", FAILED),
        ("• [INTERRUPTED] [1.000 seconds]", FAILED),
        ("S [SKIPPED] [1.000 seconds]", SKIPPED),
        ("↺ [FLAKEY TEST - TOOK 2 ATTEMPTS TO PASS] [1.000 seconds]", PASSED),
    ],
)
def test_states(line: str, outcome: str) -> None:
    content = f"------------------------------\n{DNS} [sig-network, Conformance]\n  STEP: one\n{line}\n"
    _, results = read_lines(content.encode(), 4096)
    assert results[DNS] == SpecResult(name=DNS, outcome=outcome, seconds=1.0)


def test_the_report_of_a_run() -> None:
    report = read_junit((RECORDED / "run.xml").read_bytes())
    assert {name: test.outcome for name, test in report.tests.items()} == {
        DNS: PASSED,
        DNS_SERVICES: FAILED,
        PODS: SKIPPED,
        PODS_TWICE: PASSED,
        "[sig-node] Pods is not selected": NOT_RUN,
    }
    assert report.tests[PODS].text == "Only supported for node OS distro [gci] (not debian)"
    failure = report.tests[DNS_SERVICES].text.splitlines()
    assert failure[0].startswith("[FAILED] service is not reachable within 2m0s timeout on endpoint 172.16.1.20:80")
    assert (len(failure), failure[-1]) == (9, "… 3 more lines")
    assert report.suite_failures == () and not report.has_timed_out


def test_the_report_of_a_run_whose_time_was_up() -> None:
    report = read_junit((RECORDED / "timed-out.xml").read_bytes())
    assert report.has_timed_out
    assert report.tests[DNS_SERVICES].outcome == FAILED
    assert report.tests[DNS_SERVICES].text.startswith("[TIMEDOUT] A suite timeout occurred\n")


def test_the_report_of_a_run_that_could_not_begin() -> None:
    report = read_junit((RECORDED / "broken.xml").read_bytes())
    assert report.tests == {}
    (failure,) = report.suite_failures
    assert failure.name == "[SynchronizedBeforeSuite]"
    assert "coredns-1 iec02 Pending" in failure.text


@pytest.mark.parametrize("content", [b"", b"<testsuites>", b'<t><testcase name="[It] a" time="soon"/></t>'])
def test_what_is_no_report(content: bytes) -> None:
    with pytest.raises(HostError):
        read_junit(content)


def test_first_lines() -> None:
    assert first_lines("\n  one\n\ntwo  \n") == "one\ntwo"
    assert first_lines("\n".join("abcdefghijk")) == "\n".join([*"abcdefgh", "… 3 more lines"])
