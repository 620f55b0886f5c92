"""The seed image: readable under each naming scheme, and the same for the same input."""

from __future__ import annotations

import time
from io import BytesIO

import pycdlib
import pytest

from iecpod.design.machines import Seed
from iecpod.providers.libvirt.seed_iso import make_seed_iso

SEED = Seed(
    user_data="#cloud-config\nüser: ubuntu\n", meta_data="instance-id: iec01\n" * 400, network_config="version: 2\n"
)
FILES = {"user-data": SEED.user_data, "meta-data": SEED.meta_data, "network-config": SEED.network_config}


@pytest.mark.parametrize("scheme", ["rr_path", "joliet_path"])
def test_files_have_their_long_names_and_content(scheme: str) -> None:
    iso = pycdlib.PyCdlib()
    iso.open_fp(BytesIO(make_seed_iso(SEED)))
    assert iso.pvd.volume_identifier.strip() == b"cidata"
    for name, text in FILES.items():
        content = BytesIO()
        iso.get_file_from_iso_fp(content, **{scheme: f"/{name}"})
        assert content.getvalue().decode() == text
    iso.close()


def test_same_seed_same_bytes_at_any_time_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_seed_iso(SEED)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100_000_000)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert make_seed_iso(SEED) == first
    finally:
        monkeypatch.undo()
        time.tzset()


def test_other_seed_other_bytes() -> None:
    other = Seed(user_data=SEED.user_data, meta_data=SEED.meta_data, network_config="version: 1\n")
    assert make_seed_iso(other) != make_seed_iso(SEED)
