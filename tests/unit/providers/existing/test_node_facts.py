"""What a machine says of itself, read by type; it may say anything."""

from __future__ import annotations

import os
import subprocess
import time
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iecpod.errors import NodeError
from iecpod.providers.existing.node_facts import (
    NodeFacts,
    NodeLink,
    NodeRoute,
    RecordOwner,
    Swap,
    gather_facts,
    read_facts,
)
from iecpod.providers.existing.node_sections import END, SECTION, SECTION_BYTES, Section, read_sections
from tests.fakes import FakeShell
from tests.unit.providers.existing.existing_machine import INSTALLATION, SECTIONS, printed

BEFORE, AFTER = 1700000000.0, 1700000004.0


def read(**changes: tuple[int, str]):  # type: ignore[no-untyped-def]
    return read_facts(printed(**changes), "iec01", BEFORE, AFTER)


def test_facts_are_read() -> None:
    found = read()
    assert (found.os_name, found.machine, found.hostname) == ("debian12", "x86_64", "edge1.example.org")
    assert (found.memory_mib, found.available_mib, found.cpus, found.free_mib) == (4096, 2048, 4, 20480)
    assert found.swaps == (Swap("/dev/vda5", 1023, 2),)
    assert (found.listening, found.udp_ports) == ({22, 6443}, {68, 4789})
    assert found.links == (
        NodeLink("lo", "", 65536, ()),
        NodeLink("eth0", "52:54:00:ab:cd:ef", 1450, (IPv4Interface("10.0.0.5/24"),)),
    )
    assert found.routes == (
        NodeRoute(IPv4Network("10.0.0.0/24"), "eth0"),
        NodeRoute(IPv4Network("10.9.0.0/16"), ""),
    )
    assert found.modules == {"overlay": "loaded", "br_netfilter": "missing"}
    assert (found.clusters, found.units) == (("/etc/kubernetes/kubelet.conf",), {"kubelet"})
    assert found.owner == RecordOwner(INSTALLATION, "nodes/edge", "iec01") and not found.record_is_odd
    assert (found.has_systemd, found.has_cgroup_2, found.virtualization) == (True, True, "none")
    assert found.link_of(IPv4Interface("10.0.0.5/24").ip) == found.links[1]


def test_a_clock_is_compared_with_the_middle_of_the_look() -> None:
    found = read()
    assert (found.skew_seconds, found.skew_error_seconds) == (8.0, 3.0)


def test_what_a_command_printed_before_it_failed_is_no_fact() -> None:
    failed = {name: (1, output) for name, (_, output) in SECTIONS.items()}
    found = read(**failed)
    assert found.os_name == found.machine == found.product_uuid == ""
    unknown = (found.memory_mib, found.free_mib, found.cpus, found.swaps, found.listening, found.skew_seconds)
    assert (*unknown, found.udp_ports, found.clusters, found.units) == (None,) * 9
    assert (found.has_cgroup_2, found.has_systemd, found.owner) == (None, False, None)
    assert found.record_is_odd, "a record that cannot be read is not no record"


def test_no_record_is_no_record() -> None:
    found = read(record=(0, ""))
    assert found.owner is None and not found.record_is_odd


@pytest.mark.parametrize("text", ["installation=x", "pod=nodes/edge\nnode=iec01", "rm -rf /"])
def test_a_record_without_an_owner_is_odd(text: str) -> None:
    found = read(record=(0, text))
    assert found.owner is None and found.record_is_odd


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: text[: len(text) // 2], "`"),
        (lambda text: text.replace("[end]\n", ""), "it was cut short"),
        (lambda text: text.replace("[kernel]", "[kernal]"), "sections are missing or unknown: kernel, kernal"),
        (lambda text: "motd: welcome\n" + text, "`motd: welcome` is no line of a section"),
        (lambda text: text + text, "is no line of a section"),
        (lambda text: text + " " * (4 << 20), "longer than"),
        (lambda text: text.replace("=0", "=zero", 1), "`=zero` is no line of a section"),
    ],
)
def test_another_answer_is_refused(damage, why: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NodeError) as refused:
        read_facts(damage(printed()), "iec01", BEFORE, AFTER)
    assert "what it says of itself is not understood" in refused.value.cause
    assert why in refused.value.cause or "cut short" in refused.value.cause


@given(st.dictionaries(st.sampled_from(sorted(SECTIONS)), st.tuples(st.integers(0, 255), st.text(max_size=200))))
def test_nothing_that_a_section_holds_is_an_error(changes: dict[str, tuple[int, str]]) -> None:
    clean = {name: (status, text.replace("\n", "\n ")) for name, (status, text) in changes.items()}
    found = read(**clean)
    assert len(found.hostname) <= 100 and all(len(link.name) <= 15 for link in found.links)


def gather_here() -> NodeFacts:
    def local(argv, _stdin):  # type: ignore[no-untyped-def]
        from iecpod.ports import CommandResult

        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        return CommandResult(done.returncode, done.stdout, done.stderr)

    return gather_facts(FakeShell().reply(("sh", "-c"), local), time.time)


def test_the_script_runs_here() -> None:
    found = gather_here()
    assert found.memory_mib and found.cpus and found.machine and found.kernel
    assert found.skew_seconds is not None and abs(found.skew_seconds) <= found.skew_error_seconds
    assert any(link.name == "lo" for link in found.links)


@pytest.mark.parametrize(
    ("systemctl", "units"),
    [
        ("test $2 != kubelet || { echo active; exit; }; echo inactive; exit 3", frozenset({"kubelet"})),
        ("echo inactive; exit 3", frozenset()),
        ("exit 1", None),
    ],
    ids=["one runs", "none runs", "silent"],
)
def test_a_silent_systemd_is_not_one_without_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, systemctl: str, units: frozenset[str] | None
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\n{systemctl}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gather_here().units == units


def test_a_section_bounds_what_it_prints_and_keeps_the_status() -> None:
    script = f"""{SECTION}
section plain printf 'a\\n[end]\\n=0\\nlast'
section fails sh -c 'echo before; exit 7'
section long sh -c 'yes | head -c 1000000'
section hungry cat
section silent true
{END}"""
    text = subprocess.run(["sh", "-c", script], capture_output=True, text=True, input="typed", timeout=60).stdout
    found = read_sections(text, ["plain", "fails", "long", "hungry", "silent"], ValueError)
    assert found["plain"] == Section(("a", "[end]", "=0", "last"), 0)
    assert found["fails"] == Section(("before",), 7) and found["fails"].known == ()
    assert len("\n".join(found["long"].lines)) <= SECTION_BYTES and found["long"].status != 0
    assert found["hungry"].lines == found["silent"].lines == ()
