"""The same work on many nodes at once, with every node's error kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from iecpod.errors import IecpodError, NodeErrors

T = TypeVar("T")

_MOST_AT_ONCE = 32


def run_on_nodes(hostnames: Sequence[str], work: Callable[[str], T]) -> dict[str, T]:
    """Results by host name. Raises the error itself when one node failed, `NodeErrors` when several did.

    An exception that is no `IecpodError` is a bug and is raised as it is. A signal ends the wait at once: a command
    on a slow node may take minutes yet, so the threads are daemons, which hold up no end of the process.
    """
    results: dict[str, T] = {}
    errors: dict[str, BaseException] = {}
    todo: SimpleQueue[str] = SimpleQueue()
    ended: SimpleQueue[str] = SimpleQueue()

    def serve() -> None:
        while True:
            try:
                hostname = todo.get_nowait()
            except Empty:
                return
            try:
                results[hostname] = work(hostname)
            except BaseException as error:  # raised by the thread that waits
                errors[hostname] = error
            ended.put(hostname)

    for hostname in hostnames:
        todo.put(hostname)
    for _ in hostnames[:_MOST_AT_ONCE]:
        Thread(target=serve, daemon=True).start()
    for _ in hostnames:
        ended.get()
    _raise_errors({hostname: errors[hostname] for hostname in hostnames if hostname in errors})
    return {hostname: results[hostname] for hostname in hostnames}


def _raise_errors(errors: dict[str, BaseException]) -> None:
    failures: dict[str, IecpodError] = {}
    for hostname, error in errors.items():
        if not isinstance(error, IecpodError):
            raise error
        failures[hostname] = error
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise NodeErrors(failures)
