"""Which errors are shown with a console and the next command."""

from __future__ import annotations

from iecpod.errors import CommandFailed, WaitTimeout
from tests.fakes import fake_phase_tools


def test_a_command_that_failed_is_not_explained_by_a_console() -> None:
    error = CommandFailed("iec01", ["kubeadm"], 1, "no")
    fake_phase_tools(console="x").advice.explain(error, "iec01")
    assert (error.evidence, error.remedy) == ("", "")


def test_a_machine_without_a_console_is_logged_in_to() -> None:
    advice = fake_phase_tools(console=None).advice
    error = WaitTimeout("iec02: SSH", 10.0, "", "see why")
    advice.explain(error, "iec02")
    advice.explain(error, "iec02")  # as the wait does, and then the work on its node
    assert (error.evidence, error.remedy) == (
        "",
        "see why; log in with `iecpod ssh -l local -p virtual1 iec02`, or at the machine itself; "
        "resume with `iecpod deploy -l local -p virtual1`",
    )
