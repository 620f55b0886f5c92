"""The NoCloud seed as an ISO 9660 image: the same bytes for the same text, on any day and machine."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO

import pycdlib

from iecpod.design.machines import Seed

#: The label by which cloud-init finds the seed.
VOLUME_ID = "cidata"

_SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 1, 2, 255
_DATE = bytes((100, 1, 1, 0, 0, 0, 0))  # 2000-01-01 00:00:00 UTC, ECMA-119 9.1.5
_LONG_DATE = b"2000010100000000\x00"  # the same, ECMA-119 8.4.26.1


def make_seed_iso(seed: Seed) -> bytes:
    """An image with user-data, meta-data and network-config under their long names (Joliet and Rock Ridge)."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=VOLUME_ID)
    files = {"user-data": seed.user_data, "meta-data": seed.meta_data, "network-config": seed.network_config}
    for name, text in files.items():
        content = text.encode()
        plain_name = name.replace("-", "").upper()
        iso.add_fp(
            BytesIO(content),
            len(content),
            f"/{plain_name}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
            file_mode=0o100400,
        )
    written = BytesIO()
    iso.write_fp(written)
    iso.close()
    image = bytearray(written.getvalue())
    _fix_dates(image)
    return bytes(image)


def _fix_dates(image: bytearray) -> None:
    """pycdlib stamps everything with the present time and takes no other."""
    for start in range(_FIRST_DESCRIPTOR * _SECTOR, len(image), _SECTOR):
        if image[start] == _TERMINATOR:
            return
        if image[start] in (_PRIMARY, _SUPPLEMENTARY):
            for offset in (813, 830, 864):  # creation, modification, effective; ECMA-119 8.4.26 on
                image[start + offset : start + offset + 17] = _LONG_DATE
            _fix_directory_dates(image, start + 156)


def _fix_directory_dates(image: bytearray, root: int) -> None:
    extent, size = (struct.unpack_from("<I", image, root + offset)[0] for offset in (2, 10))
    image[root + 18 : root + 25] = _DATE
    for record in _records(image, extent * _SECTOR, size):
        image[record + 18 : record + 25] = _DATE
        for entry in _system_use_entries(image, record):
            if image[entry : entry + 2] == b"TF":  # RRIP 4.1.6: flags, then one short date for each flag
                dates = (image[entry + 2] - 5) // len(_DATE)
                image[entry + 5 : entry + 5 + dates * len(_DATE)] = _DATE * dates


def _records(image: bytearray, start: int, size: int) -> Iterator[int]:
    """Offsets of the directory records of one extent; a zero length ends the records of a sector."""
    offset = start
    while offset < start + size:
        if image[offset]:
            yield offset
            offset += image[offset]
        else:
            offset = (offset // _SECTOR + 1) * _SECTOR


def _system_use_entries(image: bytearray, record: int) -> Iterator[int]:
    name_length = image[record + 32]
    offset = record + 33 + name_length + (1 - name_length % 2)
    end = record + image[record]
    while offset + 4 <= end and image[offset + 2] >= 4:
        yield offset
        offset += image[offset + 2]
