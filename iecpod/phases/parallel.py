"""The same work on many nodes at once, with every node's error kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from iecpod.errors import IecpodError, NodeErrors

T = TypeVar("T")

_MOST_AT_ONCE = 32


def run_on_nodes(hostnames: Sequence[str], work: Callable[[str], T]) -> dict[str, T]:
    """Results by host name. Raises the error itself when one node failed, `NodeErrors` when several did.

    An exception that is no `IecpodError` is a bug and is raised as it is.
    """
    if not hostnames:
        return {}
    results: dict[str, T] = {}
    failures: dict[str, IecpodError] = {}
    with ThreadPoolExecutor(max_workers=min(len(hostnames), _MOST_AT_ONCE)) as pool:
        futures = {hostname: pool.submit(work, hostname) for hostname in hostnames}
        for hostname, future in futures.items():
            try:
                results[hostname] = future.result()
            except IecpodError as error:
                failures[hostname] = error
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise NodeErrors(failures)
    return results
