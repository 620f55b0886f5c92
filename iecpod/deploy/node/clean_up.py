"""What a phase takes back of what it put on nodes, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from iecpod.errors import IecpodError

_SECONDS = 300.0
#: After a signal, a node that hangs is not to hold up the end.
_SIGNALLED_SECONDS = 20.0


@contextmanager
def cleaned_up(clean: Callable[[float], object]) -> Iterator[None]:
    """However the block ends, `clean` follows, with the seconds that each of its commands may take.

    Where the block fails, that is the error: a node that went away cannot be cleaned up either, and what is left is
    found by the next run.
    """
    try:
        yield
    except BaseException as error:
        with suppress(IecpodError):
            clean(_SIGNALLED_SECONDS if isinstance(error, KeyboardInterrupt) else _SECONDS)
        raise
    clean(_SECONDS)
