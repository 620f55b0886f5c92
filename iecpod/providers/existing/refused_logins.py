"""Machines that cannot be looked at: each is a problem of its own, beside those of all the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.errors import IecpodError, NodeError, Problem, WaitTimeout

T = TypeVar("T")


def attempt_on_nodes(hostnames: Sequence[str], work: Callable[[str], T]) -> tuple[dict[str, T], dict[str, IecpodError]]:
    """Results of the nodes that answered, and why the others did not. Raises what is no fault of a node."""
    failures: dict[str, IecpodError] = {}

    def attempt(hostname: str) -> tuple[T] | None:
        try:
            return (work(hostname),)
        except (NodeError, WaitTimeout) as error:
            failures[hostname] = error
            return None

    found = run_on_nodes(hostnames, attempt)
    results = {name: result[0] for name, result in found.items() if result is not None}
    return results, {name: failures[name] for name in hostnames if name in failures}


def login_problems(failures: Mapping[str, IecpodError]) -> tuple[Problem, ...]:
    """By host name: a login, a host key or sudo that is refused, or a machine that does not answer."""
    return tuple(
        Problem(
            path=f"node {name}",
            message="; ".join(error.cause.removeprefix(f"{name}: ").splitlines()),
            remedy="; ".join(error.remedy.splitlines()),
            rule="node-login",
        )
        for name, error in failures.items()
    )
