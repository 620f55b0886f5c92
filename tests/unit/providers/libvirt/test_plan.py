"""What a plan makes of desired and observed objects."""

from __future__ import annotations

import dataclasses

import pytest

from iecpod.design.changes import Action
from iecpod.model import PodRef
from iecpod.naming import resource_uuid
from iecpod.providers.libvirt.connection.observed import parse_domain, parse_network, parse_pool
from iecpod.providers.libvirt.objects import Kind, Mark, ObservedResource, Resource
from iecpod.providers.libvirt.plan.compare import make_plan
from iecpod.providers.libvirt.plan.drift import set_differently
from iecpod.providers.libvirt.xml import pool_resource, resource_of
from tests import pods

REF = PodRef("local", "virtual1")
OWNER = pods.owner(REF)
UUID = str(resource_uuid(REF, Kind.DOMAIN.value, "local-virtual1-iec01"))
WANTED = Resource(kind=Kind.DOMAIN, name="local-virtual1-iec01", uuid=UUID, xml="<domain/>", digest="d1")


def observed(
    *,
    kind: Kind = Kind.DOMAIN,
    name: str = WANTED.name,
    ref: PodRef | None = REF,
    digest: str = "d1",
    active: bool = True,
) -> ObservedResource:
    mark = Mark(ref, "run", "2026-01-01T00:00:00Z", digest, installation=pods.INSTALLATION) if ref else None
    return ObservedResource(kind=kind, name=name, uuid=UUID, mark=mark, active=active)


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        ([], Action.CREATE),
        ([observed()], Action.KEEP),
        ([observed(active=False)], Action.START),
        ([observed(digest="d2")], Action.REPLACE),
        ([observed(kind=Kind.NETWORK, ref=None)], Action.CREATE),
    ],
)
def test_one_object(seen: list[ObservedResource], action: Action) -> None:
    plan = make_plan([WANTED], seen, OWNER)
    assert [change.action for change in plan.changes] == [action]
    assert plan.conflicts == ()


def test_an_object_from_an_earlier_run_is_recognised_by_what_it_is_made_from() -> None:
    wanted = dataclasses.replace(WANTED, parts=(("definition", "a"), ("image", "b"), ("user-data", "c")))
    parts = (("definition", "a"), ("image", "x"), ("user-data", "y"))
    then = Mark(REF, "run", "2026-01-01T00:00:00Z", "d0", parts, pods.INSTALLATION)
    seen = dataclasses.replace(observed(), mark=then)
    (change,) = make_plan([wanted], [seen], OWNER).changes
    assert change.drift == ("another image", "another user-data")
    assert change.reason == "differs from the descriptors or options (another image; another user-data)"
    (unknown,) = make_plan([WANTED], [observed(digest="d0")], OWNER).changes
    assert unknown.drift == ("another definition",)


def test_an_object_that_is_off_has_drifted_and_one_in_place_has_not() -> None:
    (off,) = make_plan([WANTED], [observed(active=False)], OWNER).changes
    (kept,) = make_plan([WANTED], [observed()], OWNER).changes
    assert (off.reason, off.drift) == ("is not running", ("off",))
    assert (kept.reason, kept.drift) == ("in place", ())


def test_a_paused_guest_is_to_run_again() -> None:
    domain = resource_of(pods.domain(), pods.STAMP)
    (change,) = make_plan([domain], [parse_domain(domain.xml, active=False, paused=True)], pods.owner()).changes
    assert (change.action, change.reason, change.drift) == (Action.START, "is not running (paused)", ("paused",))


def test_what_others_set_is_reported_and_nothing_is_planned_for_it() -> None:
    domain = resource_of(pods.domain(), pods.STAMP)
    seen = parse_domain(domain.xml.replace(">2</vcpu>", ">3</vcpu>"), active=True)
    plan = make_plan([domain], [seen], pods.owner())
    assert [(change.action, change.reason) for change in plan.changes] == [(Action.KEEP, "in place (vcpus 3, not 2)")]
    assert plan.pending == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("bridge", "br9", "bridge br9, not pxebr"),
        ("bridge", "", "bridge none, not pxebr"),
        ("cidrs", (), "addresses none, not 192.168.11.0/24"),
        ("autostart", False, "autostart off, not on"),
        ("active", False, "off"),
    ],
)
def test_a_network_that_others_changed(name: str, value: object, words: str) -> None:
    network = resource_of(pods.admin_network(), pods.STAMP)
    seen = parse_network(network.xml, active=True, autostart=True)
    assert set_differently(network, seen) == ()
    assert set_differently(network, dataclasses.replace(seen, **{name: value})) == (words,)  # type: ignore[arg-type]


def test_nics_in_another_order() -> None:
    domain = resource_of(pods.domain(), pods.STAMP)
    seen = parse_domain(domain.xml, active=True)
    assert set_differently(domain, dataclasses.replace(seen, macs=seen.macs[::-1])) == ("NICs in another order",)


@pytest.mark.parametrize(
    ("ref", "why"),
    [(None, "iecpod did not make"), (PodRef("other", "virtual1"), "belongs to POD other/virtual1")],
)
def test_the_name_of_an_object_that_is_not_ours_is_a_conflict(ref: PodRef | None, why: str) -> None:
    plan = make_plan([WANTED], [observed(ref=ref)], OWNER)
    assert plan.changes == ()
    assert str(plan.conflicts[0]) == (
        "domain local-virtual1-iec01: error: the hypervisor has a domain 'local-virtual1-iec01' that "
        f"{why} [name-conflict]\n    -> rename or remove it, or use another hypervisor (-c); iecpod touches "
        "only what it made itself"
    )


def test_a_pool_elsewhere_is_a_conflict() -> None:
    pool = pool_resource(pods.REF, "/var/lib/iecpod/unit/pod1/pool")
    elsewhere = parse_pool(pool.xml.replace("/var/lib", "/srv"), active=True, owner=pods.owner(), autostart=True)
    (conflict,) = make_plan([pool], [elsewhere], pods.owner()).conflicts
    assert "was deployed from another state directory: its directory is /srv/iecpod/unit/pod1/pool" in conflict.message


def test_what_is_ours_and_no_longer_wanted_is_to_go_and_others_are_left() -> None:
    plan = make_plan([], [observed(), observed(name="jenkins-slave01", ref=None)], OWNER)
    assert [(change.action, change.name) for change in plan.changes] == [(Action.REMOVE, WANTED.name)]
    assert [change.action for change in plan.pending] == [Action.REMOVE]
