"""What a phase cleans up, also after a signal."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from iecpod.deploy.node.clean_up import cleaned_up
from iecpod.errors import (
    HostError,
    NodeUnreachable,
    WaitTimeout,
)


@pytest.mark.parametrize("error", [None, HostError("no"), KeyboardInterrupt()])
def test_what_a_phase_cleans_up_gets_little_time_after_a_signal(error: BaseException | None) -> None:
    given: list[float] = []
    with pytest.raises(type(error)) if error else nullcontext(), cleaned_up(given.append):
        if error:
            raise error
    assert given == [20.0 if isinstance(error, KeyboardInterrupt) else 300.0]


@pytest.mark.parametrize("error", [NodeUnreachable("iec01", "off"), KeyboardInterrupt()])
def test_a_clean_up_that_fails_does_not_hide_why(error: BaseException) -> None:
    def clean(_seconds: float) -> None:
        raise WaitTimeout("kubectl", 20, "")

    with pytest.raises(type(error)), cleaned_up(clean):
        raise error
    with pytest.raises(WaitTimeout), cleaned_up(clean):
        pass
