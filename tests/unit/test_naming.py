"""Names of NICs: those of the IDF, and for NICs without one a name that no other has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iecpod.naming import nic_name

#: Of the IDF, for the first NICs; some have none.
_NAMES = st.lists(st.sampled_from(("", "eno1", "mgmt0", *(f"enp{bus}s0" for bus in range(1, 12)))), max_size=8).filter(
    lambda names: all(names.count(name) == 1 for name in names if name)
)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ((), ("enp1s0", "enp2s0", "enp3s0", "enp4s0")),
        (("eth0", "", "eth2"), ("eth0", "enp2s0", "eth2", "enp4s0")),
        (("enp2s0", "", "enp3s0", "enp4s0"), ("enp2s0", "enp1s0", "enp3s0", "enp4s0")),
        (("enp2s0",), ("enp2s0", "enp1s0", "enp3s0", "enp4s0")),
        (("enp4s0", "enp3s0"), ("enp4s0", "enp3s0", "enp1s0", "enp2s0")),
        (("", "", "eth2", "enp1s0"), ("enp3s0", "enp2s0", "eth2", "enp1s0")),
    ],
)
def test_nics_without_a_name_get_one_that_is_free(given: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert tuple(nic_name(given, index) for index in range(4)) == found


@given(_NAMES)
def test_no_two_nics_have_one_name(names: list[str]) -> None:
    found = [nic_name(names, index) for index in range(12)]
    assert len(set(found)) == len(found)
    for index, name in enumerate(found):
        own = f"enp{index + 1}s0"
        stated = names[index] if index < len(names) else ""
        assert name == stated or (not stated and (name == own or own in names))


@pytest.mark.parametrize(("index", "name"), [(-1, "enp0s0"), (10**9, "enp1s0"), (10**12, "enp1000000000001s0")])
def test_indexes_that_no_machine_has_are_named_at_once(index: int, name: str) -> None:
    """Rules also see values that the schema refuses."""
    assert nic_name((f"enp{index + 1}s0", "enp2s0"), index) == name
