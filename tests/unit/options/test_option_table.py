"""The table of options: what has a say in a value, and what is said of it."""

from __future__ import annotations

import pytest

from iecpod.cli.main import cli
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.options.choices import Encapsulation, VirtType
from iecpod.options.option import Source
from iecpod.options.option_layers import fixed_differences, overlay
from iecpod.options.option_table import DEFAULTS, OPTIONS, PodOptions
from iecpod.release.mirrors import Supply

_LAYERS = (
    (Source.GIVEN, PodOptions(vcpus=4, scenario="")),
    (Source.SAVED, PodOptions(vcpus=2, memory_mib=1024, scenario="mine", disposable=False)),
    (Source.LAB, PodOptions(uri=EMBEDDED, disposable=True, scenario="lab's")),
    (Source.DEFAULT, DEFAULTS),
)


@pytest.mark.parametrize(
    ("name", "value", "source"),
    [
        ("vcpus", 4, Source.GIVEN),
        ("memory_mib", 1024, Source.SAVED),
        ("scenario", "mine", Source.SAVED),  # an empty text is as none
        ("disposable", False, Source.SAVED),
        ("uri", EMBEDDED, Source.LAB),
        ("addressing", "fuel", Source.DEFAULT),
        ("virt_type", None, None),
    ],
)
def test_the_first_that_has_a_value_says_it(name: str, value: object, source: Source | None) -> None:
    chosen = overlay(*_LAYERS)
    assert (getattr(chosen, name), chosen.source(name)) == (value, source)


def test_what_is_given_of_the_supply_joins_what_is_saved() -> None:
    saved, given = Supply(registry_mirrors={"docker.io": "https://hub.lab"}), Supply(http_proxy="http://proxy:1")
    chosen = overlay((Source.GIVEN, PodOptions(supply=given)), (Source.SAVED, PodOptions(supply=saved)))
    assert chosen.supply == saved.overlaid(given) and chosen.source("supply") is Source.GIVEN


def test_a_value_that_stays_keeps_its_source() -> None:
    chosen = overlay(*_LAYERS).changed(Source.DEFAULT, vcpus=4, virt_type=VirtType.QEMU, memory_mib=None)
    assert (chosen.source("vcpus"), chosen.source("virt_type")) == (Source.GIVEN, Source.DEFAULT)
    assert chosen.source("memory_mib") is None


def test_plan_and_status_say_each_value_with_its_source() -> None:
    shown = {label: (value, source) for label, value, source in overlay(*_LAYERS).shown()}
    assert shown["memory"] == ("1024 MiB", Source.SAVED)
    assert (shown["vCPUs"], shown["disposable"]) == (("4", Source.GIVEN), ("no", Source.SAVED))
    assert "encapsulation" not in shown


def test_another_release_forgets_what_is_of_the_one_before() -> None:
    supply = Supply(repositories={"kubernetes": "http://mirror/k"}, http_proxy="http://proxy:1")
    known = PodOptions(release="a", base_os="b", bundle="c", vcpus=2, image_archives=("d",), supply=supply)
    assert known.of_other_release() == PodOptions(vcpus=2, supply=Supply(http_proxy="http://proxy:1"))


def test_only_fixed_options_differ_and_only_where_they_are_known() -> None:
    known = PodOptions(service_cidr="10.0.0.0/24", vcpus=2, calico_encapsulation=Encapsulation.IPIP)
    wanted = PodOptions(service_cidr="10.1.0.0/24", vcpus=4, release="x", calico_encapsulation=Encapsulation.VXLAN)
    assert fixed_differences(known, wanted) == (
        "with the service CIDR 10.0.0.0/24, not 10.1.0.0/24",
        "with Calico's encapsulation ipip, not vxlan",
    )


def test_deploy_takes_every_option_of_the_table() -> None:
    taken = {parameter.name: parameter.opts for parameter in cli.commands["deploy"].params}
    commands = {name: option.command for name, option in OPTIONS.items() if option.command}
    assert {name for name, command in commands.items() if command.flag not in taken.get(command.name, [])} == {
        "disposable"  # whose flag has its opposite beside it
    }
    assert "--disposable" in taken["disposable"]
    assert len({command.name for command in commands.values()}) == len(commands)
