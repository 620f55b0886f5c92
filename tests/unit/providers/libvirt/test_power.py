"""Which guests are off, as waits ask for it."""

from __future__ import annotations

import threading

import pytest

from iecpod.errors import HypervisorUnavailable
from iecpod.model import PodRef
from iecpod.providers.libvirt import power as guest_power
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.power import GuestPower
from tests import pods
from tests.fakes import FakeClock, FakeHost, FakeHypervisor

REF = PodRef("local", "virtual1")
NODES = {"iec01": "a-iec01", "iec02": "a-iec02"}


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    hypervisor = FakeHypervisor(pods.owner(REF))
    for name in NODES.values():
        hypervisor.add_foreign(Kind.DOMAIN, f"<domain><name>{name}</name><uuid>{name}</uuid></domain>")
        hypervisor.start_outside(Kind.DOMAIN, name)
    return hypervisor


def test_domains_that_are_off_or_gone_are_found_and_paused_ones_are_not(hypervisor: FakeHypervisor) -> None:
    clock = FakeClock()
    power = GuestPower(FakeHost(hypervisor), {**NODES, "iec03": "a-iec03"}, clock)
    hypervisor.pause_outside("a-iec01")
    assert power.find_stopped() == ("iec03",)
    hypervisor.stop_outside(Kind.DOMAIN, "a-iec02")
    assert power.find_stopped() == ("iec03",), "asked twice within seconds"
    clock.sleep(5)
    assert power.find_stopped() == ("iec02", "iec03")
    assert hypervisor.closed


def test_a_libvirtd_that_went_away_stops_no_guest(hypervisor: FakeHypervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(hypervisor)

    def refuse() -> FakeHypervisor:
        raise HypervisorUnavailable("no libvirtd")

    monkeypatch.setattr(host, "connect", refuse)
    assert GuestPower(host, {"iec03": "a-iec03"}, FakeClock()).find_stopped() == ()


def test_a_libvirtd_that_never_answers_holds_up_no_wait(
    hypervisor: FakeHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, never = FakeHost(hypervisor), threading.Event()

    def hang() -> FakeHypervisor:
        never.wait()
        return hypervisor

    monkeypatch.setattr(host, "connect", hang)
    monkeypatch.setattr(guest_power, "_ANSWER_SECONDS", 0.1)
    assert GuestPower(host, {"iec03": "a-iec03"}, FakeClock()).find_stopped() == ()
    never.set()
