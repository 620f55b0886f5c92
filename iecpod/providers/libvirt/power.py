"""Whether the virtual machines of a POD still run, asked of libvirt while something is awaited of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from iecpod.errors import IecpodError
from iecpod.ports import Clock
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.ports import HypervisorHost

#: A libvirtd that was stopped never answers; waits continue without it.
_ANSWER_SECONDS = 5.0
_FRESH_SECONDS = 5.0


class GuestPower:
    """`domains` are the names of the domains by host name. Threads share it; it keeps no connection open."""

    def __init__(self, host: HypervisorHost, domains: Mapping[str, str], clock: Clock) -> None:
        self._host = host
        self._domains = dict(domains)
        self._clock = clock
        self._lock = Lock()
        self._asked_at: float | None = None
        self._stopped: tuple[str, ...] = ()

    def find_stopped(self) -> tuple[str, ...]:
        """Nodes whose domain is off or gone, seen some seconds ago at most; none where libvirt does not answer.

        A domain that is paused counts as running: it may be resumed, and whoever paused it need not mean us.
        """
        with self._lock:
            now = self._clock.now()
            if self._asked_at is None or now - self._asked_at >= _FRESH_SECONDS:
                self._stopped = _answer_in_time(self._look)
                self._asked_at = self._clock.now()
            return self._stopped

    def _look(self) -> tuple[str, ...]:
        hypervisor = self._host.connect()
        try:
            seen = hypervisor.observe()
        finally:
            hypervisor.close()
        on = {found.name for found in seen if found.kind is Kind.DOMAIN and (found.active or found.paused)}
        return tuple(node for node, domain in self._domains.items() if domain not in on)


def _answer_in_time(look: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    answers: SimpleQueue[tuple[str, ...]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(look())
        except (IecpodError, OSError):
            answers.put(())

    Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=_ANSWER_SECONDS)
    except Empty:
        return ()
