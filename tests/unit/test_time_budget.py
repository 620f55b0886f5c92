"""What the end-to-end tests leave out when a machine is slow."""

from __future__ import annotations

from tests.e2e.time_budget import TimeBudget

USUAL = {"test_1.py": 100.0, "test_2.py": 200.0, "test_3.py": 50.0}


def test_without_a_limit_everything_runs() -> None:
    budget = TimeBudget(None, USUAL, started=0.0)
    assert [budget.refusal(file, 1e9) for file in USUAL] == ["", "", ""]


def test_a_file_that_would_not_end_in_time_is_skipped_by_name() -> None:
    budget = TimeBudget(320.0, USUAL, started=0.0)
    assert budget.refusal("test_1.py", 0.0) == ""
    assert budget.refusal("test_1.py", 90.0) == ""
    refused = budget.refusal("test_2.py", 150.0)  # half as slow again: 300 s
    assert refused.startswith("time budget: test_2.py takes about 300 s on this machine, and 170 s are left;")
    assert refused.endswith("pytest tests/e2e/test_2.py")
    assert budget.refusal("test_2.py", 151.0) == refused
    assert budget.refusal("test_3.py", 152.0) == "", "a shorter one still fits"


def test_a_fast_machine_counts_as_a_usual_one() -> None:
    budget = TimeBudget(220.0, USUAL, started=0.0)
    assert budget.refusal("test_1.py", 0.0) == ""
    assert budget.refusal("test_2.py", 10.0) == ""
    assert budget.refusal("test_3.py", 180.0) != ""
