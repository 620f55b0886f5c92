"""Machines that are there, and a fixture for each stage of the POD on them; every test may be selected alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from iecpod.deploy.waiting.parallel import run_on_nodes
from tests.e2e import small_lab
from tests.e2e.command import RELEASE, Iecpod
from tests.e2e.existing.machines import INSTALL, MACHINES, PASSWORD, SCENARIO, WRONG_PASSWORD, Machines, Stage
from tests.e2e.teardown import torn_down


@pytest.fixture(scope="package")
def machines(as_root: None) -> Iterator[Machines]:
    """Nothing of iecpod is on them, neither before the first test nor after the last."""
    with TemporaryDirectory(prefix="iecpod-e2e-existing-") as directory:
        root = Path(directory)
        small_lab.write_descriptors(root)
        with torn_down(Iecpod(root / "lab", small_lab.LAB, small_lab.TRIO)) as lab:
            made = _install(root, lab)
            assert set(made.before) == set(MACHINES)
            try:
                yield made
            finally:
                made.check_end()


def _install(root: Path, lab: Iecpod) -> Machines:
    base = ("-b", f"file://{root}", "-c", "embedded", "--release", RELEASE, "-s", SCENARIO, "--bundle-via", "ssh")
    lab.check("deploy", *base, "--until", "reachable")
    run_on_nodes(tuple(MACHINES), lambda name: lab.check("ssh", name, "--", "sudo", "sh", "-euc", INSTALL))
    for name, text in (("password", PASSWORD), ("wrong", WRONG_PASSWORD)):
        (root / name).write_text(text + "\n")
    prefix = tuple(lab.host.command_prefix)
    iecpod = Iecpod(root / "existing", "nodes", "edge", settings={"HOME": str(root)}, prefix=prefix)
    return Machines(lab, iecpod, root / "password", root / "wrong")


@pytest.fixture
def without_pod(machines: Machines) -> Machines:
    machines.bring_to(Stage.NO_POD)
    return machines


@pytest.fixture
def bootstrapped(machines: Machines) -> Machines:
    """Two nodes; the bootstrap was killed once on the way."""
    machines.bring_to(Stage.BOOTSTRAPPED)
    return machines


@pytest.fixture
def third_joined(machines: Machines) -> Machines:
    machines.bring_to(Stage.THIRD_JOINED)
    return machines


@pytest.fixture
def second_left(machines: Machines) -> Machines:
    machines.bring_to(Stage.SECOND_LEFT)
    return machines


@pytest.fixture
def deployed(machines: Machines) -> Machines:
    """Of whatever nodes, so that nothing is deployed again for it."""
    machines.bring_to(max(machines.stage, Stage.BOOTSTRAPPED))
    return machines
