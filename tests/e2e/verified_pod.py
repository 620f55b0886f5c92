"""local/virtual1 as a whole deploy makes it: deployed once a session, and restored from its checkpoint after that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.command import Iecpod
from tests.e2e.small_lab import ROOT
from tests.e2e.teardown import torn_down


def make_verified(command: Iecpod) -> None:
    """Whatever there is of the POD: its descriptors are those that iecpod comes with again."""
    command.check("redeploy", "--checkpoint", "-b", str(ROOT / "pdf"))


@contextmanager
def verified_pod(command: Iecpod) -> Iterator[Iecpod]:
    """For a fixture of a directory, which may wreck it; checkpoints that were saved meanwhile are removed."""
    with torn_down(command):
        make_verified(command)
        kept = {one["id"] for one in checkpoints(command)}
        try:
            yield command
        finally:
            remove_checkpoints(command, but=kept)


def checkpoints(command: Iecpod) -> list[dict[str, Any]]:
    """Those of the installation of the test; the cache may have others."""
    found: list[dict[str, Any]] = json.loads(command.run_for_all("checkpoint ls", "-o", "json").stdout)
    installation = (command.root / "state/installation").read_text().strip()
    return [one for one in found if one.get("installation") == installation]


def remove_checkpoints(command: Iecpod, but: set[str]) -> None:
    for one in checkpoints(command):
        if one["id"] not in but:
            command.run_for_all("checkpoint rm", one["id"])
