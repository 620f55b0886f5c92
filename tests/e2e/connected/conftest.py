"""A lab that reaches the stand-ins of the internet by a proxy; its PODs are up one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.model import Arch
from tests.e2e import small_lab
from tests.e2e.command import RELEASE, Iecpod
from tests.e2e.outside.world import OutsideWorld, make_world
from tests.e2e.teardown import torn_down


@contextmanager
def connected_machines(world: OutsideWorld, pod: str, keys: Mapping[str, Path]) -> Iterator[Iecpod]:
    """Machines that boot, with the servers at work; `keys` are those of the lab's repositories."""
    with torn_down(Iecpod(world.root, small_lab.LAB, pod)) as command:
        command.check("deploy", *world.options(keys), "--until", "domains")
        with world.at(command.host):
            yield command


@pytest.fixture(scope="package")
def world(as_root: None, cache: Cache) -> Iterator[OutsideWorld]:
    """What the lab reaches, on disk; each of its PODs has the servers for itself."""
    if Arch.of_this_machine() is not Arch.X86_64:
        pytest.skip("the PODs are of x86_64, whose programs this machine does not run")
    with TemporaryDirectory(prefix="iecpod-e2e-connected-") as directory:
        world = make_world(Path(directory), small_lab.load_shipped(RELEASE), cache)
        with world.host_server.at_work():
            yield world
