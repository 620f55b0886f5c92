"""Jobs that a `FakeShell`'s systemd runs."""

from __future__ import annotations

from iecpod.deploy.node.systemd_job import START, WAIT
from tests.fakes.shell import FakeShell


def on_job(shell: FakeShell, *, result: str = "success", status: int = 0, journal: str = "") -> FakeShell:
    """The next job ends so; after several of these, one after the other does."""
    said = f"Result={result}\nExecMainStatus={status}\n{journal}"
    return shell.on("sh", "-c", START).on("sh", "-c", WAIT, stdout=said)


def jobs_of(shell: FakeShell) -> list[tuple[str, ...]]:
    """Unit and command of each that was given to systemd."""
    return [call[4:] for call in shell.calls if START in call]
