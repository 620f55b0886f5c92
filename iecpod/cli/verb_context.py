"""What a verb is given: made when it runs, so that the others need not load libvirt, SSH and templates."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from iecpod.cli.options.login import make_login
from iecpod.cli.options.shared import Invocation
from iecpod.cli.tracing import tracing_commands

if TYPE_CHECKING:
    from iecpod.wiring.access import Access
    from iecpod.wiring.pods import Pods
    from iecpod.wiring.session import Session


def _passing(function: Callable[..., None], wire: Callable[[Session], object]) -> Callable[..., None]:
    """Wires a command when it runs, so that the others need not load libvirt, SSH and templates."""

    @click.pass_obj
    @functools.wraps(function)
    def run(invocation: Invocation, /, *arguments: Any, **options: Any) -> None:
        from iecpod.wiring.session import Session

        layout, debug = invocation.stored_layout(options.get("storage_dir")), options.pop("debug", False)
        # Lines of the trace would tear a live display apart.
        is_terminal = invocation.is_terminal and not debug
        if "accept_new_host_keys" in options:
            options["login"] = make_login(options, invocation.environ)
        with tracing_commands(debug):
            session = Session(layout, environ=invocation.environ, is_terminal=is_terminal)
            function(wire(session), *arguments, **options)

    return run


def pass_pods(function: Callable[..., None]) -> Callable[..., None]:
    def wire(session: Session) -> Pods:
        from iecpod.wiring.pods import Pods

        return Pods(session)

    return _passing(function, wire)


def pass_access(function: Callable[..., None]) -> Callable[..., None]:
    def wire(session: Session) -> Access:
        from iecpod.wiring.access import Access

        return Access(session)

    return _passing(function, wire)


def pass_session(function: Callable[..., None]) -> Callable[..., None]:
    return _passing(function, lambda session: session)
