"""Downloads over connections that break: tried again after a pause, and resumed where the server can do that.

The bytes that were received are kept between two tries only where the server names the version of what it sends: of
two versions, a file would have a bit of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from iecpod.http.byte_ranges import WHOLE, Part
from iecpod.http.client import Answer
from iecpod.http.failures import WebError
from iecpod.ports import Clock
from iecpod.wait import SystemClock

T = TypeVar("T")
Notify = Callable[[str], None]

SYSTEM_CLOCK = SystemClock()

#: A server that restarts or a proxy that drops a connection is back within these; a host without a network is not.
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
#: A server that answers nothing may take a minute each time.
_MOST_SECONDS_WITHOUT_PROGRESS = 120.0
_RANGE_NOT_SATISFIABLE = 416


def _ignore(_message: str) -> None:
    pass


class _Retries:
    """How many tries are left. Pauses grow, also where a try made progress, so their number is bounded."""

    def __init__(self, clock: Clock, notify: Notify) -> None:
        self._clock, self._notify = clock, notify
        self._pauses = list(_PAUSES_SECONDS)
        self._progress_at = clock.now()

    def note_progress(self) -> None:
        self._progress_at = self._clock.now()

    def pause(self, error: WebError) -> None:
        """Returns when it is time for the next try; raises `error` where there is none."""
        is_late = self._clock.now() - self._progress_at > _MOST_SECONDS_WITHOUT_PROGRESS
        if not error.is_transient or is_late or not self._pauses:
            raise error
        seconds = self._pauses.pop(0)
        self._notify(f"{error}; trying again in {seconds:g} s")
        self._clock.sleep(seconds)


def retry(request: Callable[[], T], clock: Clock, notify: Notify = _ignore) -> T:
    """Calls `request` until it raises no transient `WebError`, or for long enough; raises the last one."""
    retries = _Retries(clock, notify)
    while True:
        try:
            return request()
        except WebError as error:
            retries.pause(error)


@dataclass(slots=True)
class _Arrived:
    """What has arrived of a body in `file`, which is open for writing."""

    file: BinaryIO
    received_bytes: int = 0
    _validator: str = ""
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def rest(self) -> Part:
        return Part(self.received_bytes, self._validator) if self._validator else WHOLE

    def begin(self, answer: Answer) -> None:
        if not answer.first_byte:
            self.start_over()
            self._validator = answer.validator

    def write(self, piece: bytes) -> None:
        self.file.write(piece)
        self._hash.update(piece)
        self.received_bytes += len(piece)

    def start_over(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.received_bytes, self._hash, self._validator = 0, hashlib.sha256(), ""


def download(
    open_part: Callable[[Part], AbstractContextManager[Answer]],
    file: BinaryIO,
    *,
    clock: Clock = SYSTEM_CLOCK,
    notify: Notify = _ignore,
    look: Callable[[int, int], None] = lambda _received, _length: None,
) -> str:
    """Fills `file`; returns the SHA-256 of what is in it. Raises `WebError`.

    `look` is called with the bytes that have arrived, and how many the server announced: 0 where it did not.
    """
    arrived, retries = _Arrived(file), _Retries(clock, notify)
    while True:
        try:
            with open_part(arrived.rest) as answer:
                arrived.begin(answer)
                for piece in answer.pieces():
                    arrived.write(piece)
                    retries.note_progress()
                    look(arrived.received_bytes, answer.length_bytes or 0)
            return arrived.sha256
        except WebError as error:
            if error.status == _RANGE_NOT_SATISFIABLE and arrived.received_bytes:
                arrived.start_over()
            else:
                retries.pause(error)
