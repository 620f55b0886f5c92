"""Tars as GNU tar and Python write them, and malformed ones."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import tracemalloc
import zlib
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.files.tar import OddTar, TarBounds, read_tar

BOUNDS = TarBounds(total_bytes=1 << 20, members=50)
END = bytes(1024)


def pack(*entries: tuple[str, bytes], form: int = tarfile.GNU_FORMAT, **headers: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, pax_headers=headers) as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def header(name: str = "x", size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)


def read(content: bytes, bounds: TarBounds = BOUNDS) -> list[tuple[str, bytes]]:
    return [(file.name, file.content()) for file in read_tar(io.BytesIO(content), bounds)]


def refusal(content: bytes, bounds: TarBounds = BOUNDS) -> str:
    with pytest.raises(OddTar) as caught:
        read(content, bounds)
    return str(caught.value)


LONG = f"{'directory/' * 30}file"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_plain_files(form: int) -> None:
    entries = [("a", b"1"), ("b/c", b""), ("d", b"x" * 1000), ("e", b"y" * 512), ("ü", b"z")]
    assert read(pack(*entries, form=form)) == entries


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(form: int) -> None:
    entries = [(LONG, b"1"), ("short", b"2"), (LONG + "2", b"3")]
    assert read(pack(*entries, form=form, comment="x" * 1000 if form == tarfile.PAX_FORMAT else "")) == entries


def test_what_is_no_file_is_passed_over() -> None:
    kinds = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    assert read(b"".join(header(kind=kind, size=7) for kind in kinds) + pack(("a", b"1"))) == [("a", b"1")]
    assert read(header(kind=b"M", size=600) + bytes(1024) + pack(("a", b"1"))) == [("a", b"1")]


def test_pieces_that_nobody_reads_are_passed_over() -> None:
    tar = read_tar(io.BytesIO(pack(("a", b"x" * 300_000), ("b", b"2"))), BOUNDS)
    assert [file.name for file in tar] == ["a", "b"]
    first = next(read_tar(io.BytesIO(pack(("a", b"x" * 300_000), ("b", b"2"))), BOUNDS))
    assert len(next(first.pieces)) < 300_000


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "it ends early"),
        (b"no tar", "it ends early"),
        (b"x" * 512, "invalid header"),
        (pack(("a", b"1"))[:512], "it ends early"),
        (pack(("a", b"1" * 2000))[:1500], "it ends early"),
        (header(size=1 << 40) + END, "more than 1048576 bytes"),
        (header(size=(1 << 20) - 511) + END, "more than 1048576 bytes"),
        (header(size=-512) + END, "a size is negative"),
        (header(size=-(1 << 60), kind=tarfile.XHDTYPE) + END, "a size is negative"),
        (header(size=512, kind=tarfile.GNUTYPE_SPARSE) + END, "a file with holes is in it"),
        (header(size=1 << 30, kind=tarfile.XHDTYPE) + END, "a header has more than 65536 bytes"),
        (header(size=1 << 30, kind=tarfile.GNUTYPE_LONGNAME) + END, "a header has more than 4096 bytes"),
        (header(size=1 << 30, kind=b"M") + END, "more than 1048576 bytes"),
        (header(size=5, kind=tarfile.XHDTYPE) + b"0 a=b".ljust(512, b"\0") + END, "an extended header is damaged"),
        (header(size=5, kind=tarfile.XHDTYPE) + b"99 a=".ljust(512, b"\0") + END, "an extended header is damaged"),
        (header(size=5, kind=tarfile.XHDTYPE) + b"-5 a=".ljust(512, b"\0") + END, "an extended header is damaged"),
        (header(kind=tarfile.XHDTYPE) * 2000 + END, "more than 50 members"),
        (header() * 2000 + END, "more than 50 members"),
    ],
)
def test_what_is_odd(content: bytes, shown: str) -> None:
    assert refusal(content) == shown


def test_members_of_one_tar_share_the_bound() -> None:
    entries = [(str(number), b"x" * 100_000) for number in range(12)]
    assert refusal(pack(*entries)) == "more than 1048576 bytes"


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"M"])
def test_a_bomb_takes_no_memory(kind: bytes) -> None:
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(header(size=200 << 20, kind=kind))
    packed += b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    tracemalloc.start()
    try:
        with gzip.open(io.BytesIO(packed)) as stream, pytest.raises(OddTar):
            list(read_tar(cast(BinaryIO, stream), BOUNDS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_damaged_stream_is_odd() -> None:
    packed = gzip.compress(pack(("a", bytes(range(256)) * 100)))
    for content in (packed[:-20], packed[:40] + b"\xff\xff\xff" + packed[43:], b"no gzip", packed[:10]):
        with gzip.open(io.BytesIO(content)) as stream, pytest.raises(OddTar):
            list(read_tar(cast(BinaryIO, stream), BOUNDS))


def _changed(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    changed = bytearray(content)
    for at, value in changes:
        changed[at % len(changed)] = value
    return bytes(changed)


SOUND = pack((LONG, b"1" * 600), ("b", b"2"), form=tarfile.PAX_FORMAT)


@settings(deadline=None)  # machines are shared
@given(st.lists(st.tuples(st.integers(0, len(SOUND)), st.integers(0, 255)), max_size=6), st.booleans())
def test_any_tar_is_read_or_odd(changes: list[tuple[int, int]], mend: bool) -> None:
    content = _changed(SOUND, changes)
    if mend:  # the checksums, so that more than those is looked at
        blocks = [content[at : at + 512] for at in range(0, len(content), 512)]
        content = b"".join(map(_with_checksum, blocks))
    with contextlib.suppress(OddTar):
        assert sum(len(data) for _, data in read(content)) <= len(content)


def _with_checksum(block: bytes) -> bytes:
    if b"ustar" not in block:
        return block
    blank = block[:148] + b" " * 8 + block[156:]
    return block[:148] + f"{sum(blank):06o}\0 ".encode() + block[156:]
