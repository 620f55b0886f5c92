"""What is saved of a POD, as this version writes it and as earlier ones wrote it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from iecpod.commands.deploy import deploy
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.commands.status import observe_status
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.layout import Layout
from iecpod.options.choices import BundleVia, Encapsulation, ProviderName, VirtType
from iecpod.options.option import Source
from iecpod.options.option_table import OPTIONS, PodOptions
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod, check_saved
from iecpod.release.container_environment import ContainerEnvironment
from iecpod.release.mirrors import Supply
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request
from tests.unit.commands.test_commands import layout, tools

__all__ = ["layout", "tools"]

#: By iecpod of before the table of options, of a deploy with --vcpus, --memory, --registry-mirror and --no-proxy.
RECORDED = Path(__file__).parents[1] / "recorded/deployed.json"

_ALL = PodOptions(
    provider=ProviderName.LIBVIRT,
    uri=EMBEDDED,
    user="iec",
    addressing="compact",
    base_uri="/srv/lab",
    scenario="k8-bridge-iec-noha",
    release="debian12",
    base_os="ubuntu1604",
    pod_cidr="10.1.0.0/16",
    service_cidr="10.2.0.0/24",
    virt_type=VirtType.QEMU,
    vcpus=3,
    memory_mib=1536,
    disposable=False,
    bundle_via=BundleVia.DISK,
    calico_encapsulation=Encapsulation.VXLAN,
    bundle="a" * 64,
    bundle_digest="b" * 64,
    bundle_signers="/srv/signers",
    image_archives=("c" * 64,),
    manifest_patch=(ContainerEnvironment("DaemonSet", "calico-node", "calico-node", {"A": "1"}),),
    supply=Supply(registry_mirrors={"docker.io": "https://hub.lab"}, no_proxy=(".lab",)),
)


def _resolved(layout: Layout, **given: object) -> PodInputs:
    saved = SavedPod.from_json(RECORDED.read_bytes())
    return resolve_request(pod_request(ref=REF, base_uri=str(layout.pdf_dir), **given), layout, saved)


def test_every_option_is_saved_and_read() -> None:
    assert all(getattr(_ALL, name) is not None for name in OPTIONS)
    saved = SavedPod(options=_ALL, places={"node-1": 0, "node-2": 2}, planned_nodes=3)
    read = SavedPod.from_json(saved.to_json())
    assert read == saved and set(read.options.sources.values()) == {Source.SAVED}


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in ("base_uri", "scenario", "release")])
def test_a_note_with_values_of_no_option_is_refused(name: str) -> None:
    """Texts that name things are checked where those are looked for."""
    with pytest.raises(ValueError):
        SavedPod.from_json(json.dumps({name: {"no": ["value"]} if name != "supply" else {"http_proxy": "file:///x"}}))


def test_a_note_of_before_is_read_and_written_as_it_was(layout: Layout) -> None:
    noted = json.loads(RECORDED.read_text())
    written = json.loads(_resolved(layout).to_save.to_json())
    assert list(written) == [name for name in noted if name != "installation"]
    assert {name for name in written if written[name] != noted[name]} == {"base_uri"}


def test_a_pod_of_before_is_found_unchanged(layout: Layout, tools: FakeTools) -> None:
    tools.saved_pod = SavedPod.from_json(RECORDED.read_bytes())
    inputs = _resolved(layout)
    check_saved(REF, tools.saved_pod.options, inputs.order.options)
    deploy(inputs, tools, lambda _report: None)
    assert make_pod_plan(_resolved(layout), tools).planned.plan.pending == ()


def test_plan_says_where_options_come_from(layout: Layout, tools: FakeTools) -> None:
    inputs = _resolved(layout, vcpus=3)
    rows = [line.split(maxsplit=1) for line in plan_text(inputs, make_pod_plan(inputs, tools)).splitlines()]
    assert ["memory", "2560 MiB (saved)"] in [[row[0], row[1].strip()] for row in rows if len(row) == 2]
    assert ["vCPUs", "3 (given)"] in rows and ["hypervisor", "embedded (saved)"] in rows
    new = resolve_request(pod_request(ref=REF, release="debian12"), layout, SavedPod())
    text = plan_text(new, make_pod_plan(new, tools))
    assert "release       debian12 (given)" in text and "hypervisor    embedded (lab's default)" in text
    assert "scenario      k8-bridge-iec-noha (lab's default)" in text and "addresses     fuel (default)" in text


def test_status_says_it_for_programs(layout: Layout, tools: FakeTools) -> None:
    deploy(_resolved(layout), tools, lambda _report: None)
    options = json.loads(observe_status(_resolved(layout), tools).to_json())["options"]
    assert options["memory"] == {"value": "2560 MiB", "source": "saved"}
    assert "vCPUs" in options and "encapsulation" not in options


def test_a_place_is_no_option() -> None:
    saved = SavedPod.from_json(RECORDED.read_bytes())
    assert saved.places == {"node-1": 0, "node-2": 1, "node-3": 2} and saved.planned_nodes == 3
    assert "node-1" not in repr(saved) and dataclasses.replace(saved, places={}) != saved
