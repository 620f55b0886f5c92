"""Verdicts of the schemas: every problem, with place, message and remedy."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator

from iecpod.descriptors.formats import FORMATS
from iecpod.descriptors.messages import explain
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.rule_catalog import RULE_BOOK
from iecpod.descriptors.schema import check_schema
from iecpod.errors import Severity
from iecpod.model import PodRef
from iecpod.yaml.document import load_yaml
from tests.unit.descriptors.broken_pod import REMOVED, ROOT, SCHEMAS_DIR, Edits, break_document, break_pod, line_at

PDF, IDF = "virtual.yaml", "idf-virtual.yaml"
LONG = "x" * 500

CASES: list[tuple[str, dict[str, object], list[tuple[str, str, str, str]]]] = [
    (
        PDF,
        {"version": 2.0},
        [("version", "2.0 is not one of: 1.0", "write: version: 1.0", "schema-enum")],
    ),
    (PDF, {"version": "1.0"}, [("version", "'1.0' is text and must be a number", "remove the quotes", "schema-enum")]),
    (
        PDF,
        {"version": REMOVED},
        [
            (
                "",
                "the key 'version' (version of the PDF format) is missing",
                "add it: write: version: 1.0",
                "schema-missing-key",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].nmae": "x"},
        [("nodes[1].nmae", "the key 'nmae' is unknown here", "did you mean name?", "schema-unknown-key")],
    ),
    (
        PDF,
        {"nodes[1].node.zebra": 1},
        [
            (
                "nodes[1].node.zebra",
                "the key 'zebra' is unknown here",
                "keys known here: type, vendor, model, arch, cpus, cpu_cflags, cores, memory",
                "schema-unknown-key",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].node.memory": REMOVED},
        [
            (
                "nodes[1].node",
                "the key 'memory' is missing",
                "add it: A number with a unit: 2560M, 6G or 128GB; units are powers of 1024.",
                "schema-missing-key",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].node.memory": 6},
        [
            (
                "nodes[1].node.memory",
                "6 stands where text must stand",
                "A number with a unit: 2560M, 6G or 128GB; units are powers of 1024.",
                "schema-type",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].node.memory": "6"},
        [
            (
                "nodes[1].node.memory",
                "'6' is not a size: a number with the unit K, M, G or T, such as 100G",
                "A number with a unit: 2560M, 6G or 128GB; units are powers of 1024.",
                "schema-size",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].node.arch": "arm64"},
        [
            (
                "nodes[1].node.arch",
                "'arm64' is not one of: aarch64, x86_64",
                "x86_64 or aarch64, which others call amd64 and arm64.",
                "schema-enum",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].node.cpus": 0},
        [
            (
                "nodes[1].node.cpus",
                "0 is less than 1",
                "Number of CPUs, 1 to 100000; a virtual node gets cpus times cores.",
                "schema-minimum",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].node.cpus": 2.5},
        [
            (
                "nodes[1].node.cpus",
                "2.5 stands where a whole number must stand",
                "Number of CPUs, 1 to 100000; a virtual node gets cpus times cores.",
                "schema-type",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].interfaces[0].mac_address": "52:54:00:00:02"},
        [
            (
                "nodes[1].interfaces[0].mac_address",
                "'52:54:00:00:02' is not a MAC address: six pairs of hex digits, such as 52:54:00:12:34:56",
                'Six pairs of hex digits in quotes; "00:00:00:00:00:00" where libvirt is to choose.',
                "schema-mac",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].interfaces[0].vlan": 4095},
        [
            (
                "nodes[1].interfaces[0].vlan",
                "4095 is not a VLAN id from 1 to 4094",
                "native, a number from 1 to 4094, or several separated by |",
                "schema-nic-vlan",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].interfaces[3].address": "10.0.19.300/24"},
        [
            (
                "nodes[1].interfaces[3].address",
                "'10.0.19.300' is not an IPv4 address",
                "Such as 192.168.122.3, or 100.64.200.5/24 with its prefix length.",
                "schema-ipv4-interface",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].interfaces[3].address": "10.0.19.30/33"},
        [
            (
                "nodes[1].interfaces[3].address",
                "'10.0.19.30/33' ends in a prefix length that is not 0 to 32",
                "Such as 192.168.122.3, or 100.64.200.5/24 with its prefix length.",
                "schema-ipv4-interface",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].interfaces[0].vlan": "native|x"},
        [
            (
                "nodes[1].interfaces[0].vlan",
                "'x' is not a VLAN: native, a number from 1 to 4094, or a range such as 1000-1999",
                "native, a number from 1 to 4094, or several separated by |",
                "schema-nic-vlan",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].interfaces[0].vlan": "100-200"},
        [
            (
                "nodes[1].interfaces[0].vlan",
                "'100-200' is not a VLAN of a NIC: native, or a number from 1 to 4094",
                "native, a number from 1 to 4094, or several separated by |",
                "schema-nic-vlan",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].interfaces[0].speed": ""},
        [
            (
                "nodes[1].interfaces[0].speed",
                "'' is not one of: 100mb, 1gb, 2.5gb, 5gb, 10gb, 20gb, 25gb, 40gb, 50gb, 100gb, 200gb, 400gb",
                "Speed of the link.",
                "schema-enum",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].name": ""},
        [("nodes[1].name", "the text is empty", "Name of the machine, unique in the POD.", "schema-minlength")],
    ),
    (
        PDF,
        {"nodes[1].name": LONG},
        [
            (
                "nodes[1].name",
                "the text is longer than 253 characters",
                "Name of the machine, unique in the POD.",
                "schema-maxlength",
            )
        ],
    ),
    (
        PDF,
        {"details.link": "example.org"},
        [
            (
                "details.link",
                "'example.org' is not a URI such as https://host/path",
                "Address of a page about the POD.",
                "schema-uri",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].remote_management.address": "xen:///system"},
        [
            (
                "nodes[1].remote_management.address",
                "'xen:///system' is not a hypervisor that a descriptor may name: qemu:///system or qemu:///session",
                "Where the virtual node runs: qemu:///system or qemu:///session.",
                "schema-libvirt-uri",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].remote_management.address": "qemu:///systm"},
        [
            (
                "nodes[1].remote_management.address",
                "'qemu:///systm' is not a hypervisor that a descriptor may name: qemu:///system or qemu:///session",
                "Where the virtual node runs: qemu:///system or qemu:///session.",
                "schema-libvirt-uri",
            )
        ],
    ),
    (
        PDF,
        {"nodes[1].remote_management.address": "x"},
        [
            (
                "nodes[1].remote_management.address",
                "'x' is not a hypervisor that a descriptor may name: qemu:///system or qemu:///session",
                "Where the virtual node runs: qemu:///system or qemu:///session.",
                "schema-libvirt-uri",
            )
        ],
    ),
    (
        PDF,
        {"jumphost.remote_management.pass": 12345},
        [
            (
                "jumphost.remote_management.pass",
                "the secret stands where text must stand",
                "Text (quote a number); hiera-eyaml's ENC[PKCS7,...] may stand here.",
                "schema-type",
            )
        ],
    ),
    (
        PDF,
        {"jumphost.remote_management.mac_address": REMOVED},
        [("jumphost.remote_management", "the key 'mac_address' is missing", "add it", "schema-missing-key")],
    ),
    (
        PDF,
        {"nodes": []},
        [
            (
                "nodes",
                "the list holds fewer than 1",
                "The order counts: the first node becomes the control plane, and idf.fuel.network.node follows it.",
                "schema-minitems",
            )
        ],
    ),
    (
        PDF,
        {"details.contact": "nobody"},
        [
            (
                "details.contact",
                "'nobody' is not a mail address",
                "One or more mail addresses, separated by comma, semicolon or space.",
                "schema-emails",
            )
        ],
    ),
    (
        PDF,
        {"nodes[0].interfaces[0].features": "dpdk|xdp"},
        [
            (
                "nodes[0].interfaces[0].features",
                "'xdp' is not a NIC feature: dpdk, sriov, or both as dpdk|sriov",
                "dpdk, sriov, or both as dpdk|sriov",
                "schema-features",
            )
        ],
    ),
    (
        PDF,
        {"nodes[0].disks[0].name": LONG},
        [("nodes[0].disks[0].name", f"'{'x' * 60}…' is not a valid name", "disk1, disk2 and so on.", "schema-pattern")],
    ),
    (IDF, {"idf.version": 0.2}, [("idf.version", "0.2 is not one of: 0.1", "write: version: 0.1", "schema-enum")]),
    (
        IDF,
        {"idf.net_config.mgmt.network": "banana"},
        [
            (
                "idf.net_config.mgmt.network",
                "'banana' is not an IPv4 address",
                "Such as 172.16.10.0; the prefix length is the mask.",
                "schema-ipv4",
            )
        ],
    ),
    (
        IDF,
        {"idf.net_config.mgmt.network": "172.16.10.0/24"},
        [
            (
                "idf.net_config.mgmt.network",
                "'172.16.10.0/24' is not an IPv4 address; a prefix length may not stand here",
                "Such as 172.16.10.0; the prefix length is the mask.",
                "schema-ipv4",
            )
        ],
    ),
    (
        IDF,
        {"idf.net_config.mgmt.mask": 99},
        [("idf.net_config.mgmt.mask", "99 is more than 32", "A number from 1 to 32, such as 24.", "schema-maximum")],
    ),
    (
        IDF,
        {"idf.net_config.mgmt.interface": -1},
        [
            (
                "idf.net_config.mgmt.interface",
                "-1 is less than 0",
                "Index of the NIC that carries the network, counted from 0 in the PDF's interfaces.",
                "schema-minimum",
            )
        ],
    ),
    (
        IDF,
        {"idf.net_config.public.ip-range": "10.0.19.150-10.0.19.140"},
        [
            (
                "idf.net_config.public.ip-range",
                "the range 10.0.19.150-10.0.19.140 ends before it starts",
                "FIRST-LAST, such as 10.0.19.130-10.0.19.139; ~ for the whole network.",
                "schema-ipv4-range",
            )
        ],
    ),
    (
        IDF,
        {"idf.net_config.public.ip-range": "10.0.19.150"},
        [
            (
                "idf.net_config.public.ip-range",
                "'10.0.19.150' is not a range of addresses: FIRST-LAST, such as 10.0.0.10-10.0.0.99",
                "FIRST-LAST, such as 10.0.19.130-10.0.19.139; ~ for the whole network.",
                "schema-ipv4-range",
            )
        ],
    ),
    (
        IDF,
        {"idf.net_config": {}},
        [
            (
                "idf.net_config",
                "the mapping holds fewer than 1 keys",
                "The networks of the POD: oob, admin, mgmt, storage, private and public; iecpod uses no others.",
                "schema-minproperties",
            )
        ],
    ),
    (
        IDF,
        {"idf.fuel.network.node[0].interfaces[0]": "enp1s0/1"},
        [
            (
                "idf.fuel.network.node[0].interfaces[0]",
                "'enp1s0/1' is not an interface name: 1 to 15 letters, digits, '-', '_' or '.'",
                "A Linux interface name, at most 15 characters.",
                "schema-device",
            )
        ],
    ),
    (
        IDF,
        {"idf.fuel.network.upstream_proxy.address": "no host!"},
        [
            (
                "idf.fuel.network.upstream_proxy.address",
                "'no host!' is neither a host name nor an IPv4 address",
                "Host name or IPv4 address.",
                "schema-host",
            )
        ],
    ),
    (
        IDF,
        {"idf.net_config.public.dns[1]": "dns"},
        [("idf.net_config.public.dns[1]", "'dns' is not an IPv4 address", "An IPv4 address.", "schema-ipv4")],
    ),
    (
        IDF,
        {"idf.net_config.private.vlan": "1999-1000"},
        [
            (
                "idf.net_config.private.vlan",
                "the VLAN range 1999-1000 ends before it starts",
                "native, a number from 1 to 4094, or a range such as 1000-1999 for tenant networks.",
                "schema-vlan",
            )
        ],
    ),
    (
        IDF,
        {"idf.fuel.network.interface_mtu": 99999},
        [
            (
                "idf.fuel.network.interface_mtu",
                "99999 is more than 9216",
                "MTU of the nodes' NICs in bytes, 576 to 9216; 1500 where it is not given.",
                "schema-maximum",
            )
        ],
    ),
    (
        IDF,
        {"idf.fuel.network.ntp_strata_host1": "1.2.3.400"},
        [
            (
                "idf.fuel.network.ntp_strata_host1",
                "'1.2.3.400' is not an IPv4 address",
                "Host name or IPv4 address.",
                "schema-host",
            )
        ],
    ),
    (
        IDF,
        {"idf.fuel.jumphost.bridges.mgmt": "a bridge with a long name"},
        [
            (
                "idf.fuel.jumphost.bridges.mgmt",
                "'a bridge with a long name' is not a bridge name: 1 to 15 letters, digits, '-', '_' or '.'",
                "Name of a Linux bridge, at most 15 characters, or ~",
                "schema-bridge",
            )
        ],
    ),
    (
        IDF,
        {"idf.fuel.network.node[0].busaddr[0]": "0000:01:00"},
        [
            (
                "idf.fuel.network.node[0].busaddr[0]",
                "'0000:01:00' is not a bus address such as 0000:01:00.0",
                "As `ethtool -i` shows it: domain:bus:device.function, such as 0000:01:00.0",
                "schema-bus-address",
            )
        ],
    ),
    (
        IDF,
        {"idf.fuel.netwrok": {}},
        [("idf.fuel.netwrok", "the key 'netwrok' is unknown here", "did you mean network?", "schema-unknown-key")],
    ),
    (
        IDF,
        {"idf": []},
        [
            (
                "idf",
                "a list stands where a mapping must stand",
                "Version, networks, and the settings of installers; iecpod reads those of fuel.",
                "schema-type",
            )
        ],
    ),
]


@pytest.mark.parametrize(("name", "edits", "expected"), CASES, ids=lambda value: str(value)[:50])
def test_verdicts(name: str, edits: dict[str, object], expected: list[tuple[str, str, str, str]]) -> None:
    found = check_schema(break_document(name, edits), "idf" if name == IDF else "pdf", SCHEMAS_DIR)
    assert [(problem.path, problem.message, problem.remedy, problem.rule) for problem in found] == expected


def test_everything_is_reported_at_once_in_the_order_of_the_file() -> None:
    document = break_document(
        PDF, {"nodes[2].name": 3, "details.type": "test", "nodes[0].node.cores": "two", "nodes[1].disks": []}
    )
    found = check_schema(document, "pdf", SCHEMAS_DIR)
    assert [problem.path for problem in found] == [
        "details.type",
        "nodes[0].node.cores",
        "nodes[1].disks",
        "nodes[2].name",
    ]
    assert [line_at(document, problem.line) for problem in found] == [
        "type: test",
        "cores: two",
        "disks: []",
        "- name: 3",
    ]


@pytest.mark.parametrize("data", ["", "[]", "3", "text", "{}"])
def test_documents_of_the_wrong_kind(data: str) -> None:
    document = load_yaml(data, "x.yaml")
    assert check_schema(document, "pdf", SCHEMAS_DIR)
    assert check_schema(document, "idf", SCHEMAS_DIR)


def test_a_fault_that_aliases_share_is_reported_once() -> None:
    text = (ROOT / "pdf/labs/arm/virtual2.yaml").read_text().replace("memory: 6G", "memory: 6")
    found = check_schema(load_yaml(text, "x.yaml"), "pdf", SCHEMAS_DIR)
    assert [problem.path for problem in found] == ["nodes[0].node.memory"]


def test_a_list_with_a_value_twice() -> None:
    assert explain("uniqueItems", True, ["a", "a"], {}) == ("the list holds a value twice", "")


def test_dialects_are_named() -> None:
    pdf = break_document(PDF, {"version": REMOVED, "details.type": "virtual"})
    idf = break_document(IDF, {"engine": {}, "bmra": {}})
    assert [str(problem) for problem in check_schema(pdf, "pdf", SCHEMAS_DIR)] == [
        "virtual.yaml:1:1: error: this is a PDF of opnfv/kuberef, a dialect that iecpod does not read: it has no "
        "version, details.type is the kind of its machines [dialect-kuberef]\n"
        "    -> describe the POD as PDF 1.0 and IDF 0.1; `pdf/labs/arm/virtual2.yaml` and its IDF are an example"
    ]
    assert [(problem.path, problem.message) for problem in check_schema(idf, "idf", SCHEMAS_DIR)] == [
        (
            "engine",
            "this is an IDF of opnfv/kuberef, a dialect with the top-level keys 'engine' and 'bmra' that iecpod "
            "does not read",
        )
    ]


@pytest.mark.parametrize(
    ("edits", "seen"),
    [
        (
            {"version": REMOVED, "nodes[0].remote_management.type": [{"ipmi": [2.0]}], "net_config": {}},
            "it has no version, remote management types are lists",
        ),
        (
            {"version": REMOVED, "opnfv_vm_pdf": {"name": "opnfv"}},
            "it has no version, it has the top-level key 'opnfv_vm_pdf'",
        ),
    ],
)
def test_xci_is_not_kuberef(edits: Edits, seen: str) -> None:
    """As `xci/var/pdf.yml` and `opnfv_vm_pdf.yml` of releng-xci are: `details.type` is what the POD is for."""
    (found,) = check_schema(break_document(PDF, edits), "pdf", SCHEMAS_DIR)
    assert (found.rule, found.message) == (
        "dialect-xci",
        f"this is a PDF of OPNFV XCI, a dialect that iecpod does not read: {seen}",
    )


@pytest.mark.parametrize(
    ("kind", "name", "remedy"),
    [
        ("pdf", "net_config", "it belongs in the IDF, under `idf`"),
        ("pdf", "fuel", "it belongs in the IDF, under `idf`"),
        ("pdf", "idf", "it belongs in the IDF"),
        ("idf", "net_config", "it belongs under `idf`"),
        ("idf", "installer", "it belongs under `idf`"),
        ("idf", "version", "it belongs under `idf`"),
        ("idf", "nodes", "it belongs in the PDF"),
        ("idf", "nets_config", "keys known here: idf, xci"),
    ],
)
def test_keys_that_belong_elsewhere(kind: Literal["pdf", "idf"], name: str, remedy: str) -> None:
    (found,) = check_schema(break_document(PDF if kind == "pdf" else IDF, {name: {}}), kind, SCHEMAS_DIR)
    assert (found.path, found.rule, found.message, found.remedy) == (
        name,
        "schema-unknown-key",
        f"the key {name!r} is unknown here",
        remedy,
    )


def test_an_installer_that_is_not_known() -> None:
    """The list is open: iecpod makes no use of it, so the rule can be demoted."""
    document = break_document(IDF, {"idf.installer": ["fuel", "osh"]})
    (found,) = check_schema(document, "idf", SCHEMAS_DIR)
    assert (found.path, found.rule) == ("idf.installer[1]", "schema-installer")
    assert found.message == (
        "'osh' is none of the installers that are known: apex, compass4nfv, daisy, fuel, joid, osa, kubespray, iecpod"
    )
    assert found.demoted({"schema-installer"}).severity is Severity.WARNING
    assert RULE_BOOK["schema-installer"].fixed == ""
    loaded = break_pod(idf={"idf.installer": ["osh"]})
    assert parse_pod(PodRef("lab", "pod"), loaded).idf.networks


def test_aliases_cost_no_time() -> None:
    """Nearly half a million values when expanded, a few kB when written."""
    text = "n: &n {" + ", ".join(f"k{index}: x" for index in range(300)) + "}\nversion: 1.0\nnodes:\n" + "- *n\n" * 1600
    start = time.process_time()
    assert check_schema(load_yaml(text, "x.yaml"), "pdf", SCHEMAS_DIR)
    assert time.process_time() - start < 5


SCHEMA_FILES = sorted(SCHEMAS_DIR.glob("*.json"))


@pytest.mark.parametrize("path", SCHEMA_FILES, ids=lambda path: path.name)
def test_schemas_are_sound(path: Path) -> None:
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {node["format"] for node in walk(schema) if isinstance(node.get("format"), str)} <= set(FORMATS)


@pytest.mark.parametrize("name", ["pdf.json", "idf.json"])
def test_editors_find_title_and_description_of_every_key(name: str) -> None:
    schema = json.loads((SCHEMAS_DIR / name).read_text())
    bare = [
        (key, word)
        for node in walk(schema)
        for key, value in (node.get("properties") or {}).items()
        for word in ("title", "description")
        if not is_gate(value) and word not in resolved(value, schema)
    ]
    assert bare == []
    assert [key for key, value in schema["$defs"].items() if not {"title", "description"} <= set(value)] == []


def is_gate(value: dict[str, Any]) -> bool:
    """Parts of an if, and of the else that only refuses other versions: what editors show stands elsewhere."""
    return set(value) in ({"const"}, {"enum"}, {"enum", "description"})


def resolved(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """With what it refers to; its own words count first."""
    if "$ref" not in value:
        return value
    target = functools.reduce(lambda node, key: node[key], value["$ref"].removeprefix("#/").split("/"), schema)
    return {**resolved(target, schema), **value}


def walk(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in walk(item)]
    if not isinstance(node, dict):
        return []
    return [node, *(found for item in node.values() for found in walk(item))]
