"""Which errors are shown with a console and the next command."""

from __future__ import annotations

from iecpod.errors import (
    CommandFailed,
)
from tests.fakes import fake_phase_tools


def test_a_command_that_failed_is_not_explained_by_a_console() -> None:
    error = CommandFailed("iec01", ["kubeadm"], 1, "no")
    fake_phase_tools(console="x").advice.explain(error, "iec01")
    assert (error.evidence, error.remedy) == ("", "")
