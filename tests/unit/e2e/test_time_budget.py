"""In which order end-to-end tests run, and what they leave out when a machine is slow."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path
from posixpath import normpath

from tests.e2e import time_budget
from tests.e2e.time_budget import USUAL_SECONDS, TimeBudget, place_of

E2E = Path(time_budget.__file__).parent
USUAL = (("pod/one.py", 100.0), ("pod/two.py", 200.0), ("other/three.py", 50.0))
FILES = [file for file, _ in USUAL]


def test_without_a_limit_everything_runs() -> None:
    budget = TimeBudget(None, USUAL, started=0.0)
    assert [budget.refusal(file, 1e9) for file in FILES] == ["", "", ""]


def test_a_file_that_would_not_end_in_time_is_skipped_by_name() -> None:
    budget = TimeBudget(320.0, USUAL, started=0.0)
    assert budget.refusal("pod/one.py", 0.0) == ""
    assert budget.refusal("pod/one.py", 90.0) == ""
    refused = budget.refusal("pod/two.py", 150.0)  # half as slow again: 300 s
    assert refused.startswith("time budget: pod/two.py takes about 300 s on this machine, and 170 s are left;")
    assert refused.endswith("pytest tests/e2e/pod/two.py")
    assert budget.refusal("pod/two.py", 151.0) == refused
    assert budget.refusal("other/three.py", 152.0) == "", "a shorter one still fits"


def test_an_image_that_is_made_on_the_way_makes_no_machine_slow() -> None:
    budget = TimeBudget(1000.0, USUAL, started=0.0)
    assert budget.refusal("pod/one.py", 0.0) == ""
    budget.leave_out(700.0)
    assert budget.refusal("pod/two.py", 790.0) == "", "90 s were its own, and 210 s are left"
    assert budget.slowness == 1.0


def test_a_fast_machine_counts_as_a_usual_one() -> None:
    budget = TimeBudget(220.0, USUAL, started=0.0)
    assert budget.refusal("pod/one.py", 0.0) == ""
    assert budget.refusal("pod/two.py", 10.0) == ""
    assert budget.refusal("other/three.py", 180.0) != ""


def test_the_first_file_of_a_pod_takes_its_deploy_as_well() -> None:
    budget = TimeBudget(1000.0, (("pod", 600.0), *USUAL), started=0.0)
    assert budget.refusal("pod/two.py", 0.0) == ""
    assert budget.refusal("pod/one.py", 800.0) == "", "800 s are usual, and the POD is there"
    assert budget.slowness == 1.0
    other = TimeBudget(700.0, (("pod", 600.0), *USUAL), started=0.0)
    assert "pod/two.py takes about 800 s" in other.refusal("pod/two.py", 0.0)
    assert other.refusal("pod/one.py", 0.0) == "", "the file that was skipped deployed nothing"


def test_files_are_in_the_order_of_the_table_and_those_of_a_pod_together() -> None:
    files = ["new/test_b.py", "other/three.py", "pod/unlisted.py", "new/test_a.py", "pod/two.py", "", "pod/one.py"]
    in_order = sorted(files, key=lambda file: place_of(file, USUAL))
    together = ["", "pod/one.py", "pod/two.py", "pod/unlisted.py", "other/three.py", "new/test_b.py", "new/test_a.py"]
    assert in_order == together


def test_the_table_names_what_there_is() -> None:
    assert [path for path, _ in USUAL_SECONDS if not (E2E / path).exists()] == []


def test_contract_tests_of_the_table_are_those_of_the_environment() -> None:
    """They need what the first POD has compiled, and are none of a POD: nothing waits for them."""
    listed = [normpath(f"tests/e2e/{path}") for path, _ in USUAL_SECONDS if path.startswith("../")]
    environments = ConfigParser(interpolation=None)
    environments.read(E2E.parents[1] / "tox.ini")
    words = environments["testenv:e2e"]["commands"].split()
    assert [word for word in words if word.startswith("tests/contract/")] == listed
    files = [path for path, _ in USUAL_SECONDS]
    assert files.index("local/test_upstream.py") < files.index("../contract/render/test_kubeadm.py")
    budget = TimeBudget(1.0, started=0.0)
    assert budget.refusal("../contract/render/test_kubelet.py", 0.0).endswith(
        "run it by hand: pytest tests/contract/render/test_kubelet.py"
    )


def test_every_file_is_in_the_table() -> None:
    """What is not would run last, in the order of names."""
    files = {path.relative_to(E2E).as_posix() for path in E2E.rglob("test_*.py")}
    assert files - {path for path, _ in USUAL_SECONDS} == set()
