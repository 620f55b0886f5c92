"""A POD of one machine with unusual NICs: a trunk of two tagged networks, and names in another order."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.e2e import small_lab

LAB, POD = "nics", "trunk1"
#: By index of the NIC. By its place on the bus, the first would have the name that the second has here.
DEVICES = ("enp3s0", "enp1s0", "enp2s0")
MGMT_DEVICE, PUBLIC_DEVICE = "enp3s0.15", "enp3s0.16"


def write_descriptors(directory: Path) -> None:
    """What `-b file://DIRECTORY` takes: mgmt and public share NIC 0 by their tags, admin has NIC 1, private NIC 2."""
    pdf, idf = (
        small_lab.load_yaml(small_lab.ROOT / f"pdf/labs/local/{name}.yaml") for name in ("virtual1", "idf-virtual1")
    )
    pdf["nodes"] = pdf["nodes"][:1]
    pdf["nodes"][0]["interfaces"] = pdf["nodes"][0]["interfaces"][: len(DEVICES)]
    networks = idf["idf"]["net_config"]
    for name, interface, vlan in (("mgmt", 0, 15), ("public", 0, 16), ("admin", 1, "native"), ("private", 2, "native")):
        networks[name].update(interface=interface, vlan=vlan)
    del networks["storage"]
    networks["public"]["gateway"] = "10.0.19.254"
    idf["idf"]["fuel"]["network"]["node"] = [
        {"interfaces": list(DEVICES), "busaddr": ["0000:03:00.0", "0000:01:00.0", "0000:02:00.0"]}
    ]
    labs = directory / "labs" / LAB
    labs.mkdir(parents=True)
    (labs / f"{POD}.yaml").write_text(yaml.safe_dump(pdf))
    (labs / f"idf-{POD}.yaml").write_text(yaml.safe_dump(idf))
