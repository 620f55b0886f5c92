"""Where guests run: the libvirt URIs that iecpod opens, and no others.

libvirt's own language of URIs is far richer: it runs a program (`+ext`, `command=` and `netcat=` of `+ssh`), reads a
file (the path of the test driver), or connects to any socket (`socket=`). A query is therefore written by iecpod alone,
where it knows the socket itself (`providers/libvirt/embedded`).
"""

from __future__ import annotations

import re

from iecpod.units import shorten

#: `-c` takes these; `embedded` is a libvirtd of the POD's own.
_OPENED = ("embedded", "qemu:///system", "qemu:///session", "qemu+unix:///system", "test:///default")

#: What a descriptor may name: the daemons that a machine runs for everybody, and for one user.
_DESCRIBED = ("qemu:///system", "qemu:///session")

#: Another machine, for when several hypervisors come: a user, a host and a port, with nothing after the path.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_REMOTE = re.compile(
    r"qemu\+ssh://(?P<user>[a-z_][a-z0-9_-]{0,31})@"
    rf"(?P<host>(?=[A-Za-z0-9.-]{{1,253}}[:/]){_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[1-9][0-9]{{0,4}}))?/system"
)


class HypervisorUri(str):
    """`embedded`, or a libvirt URI that iecpod knows; text with nothing in it but what is spelt out above."""

    __slots__ = ()

    def __new__(cls, text: str) -> HypervisorUri:
        """Raises `ValueError` with a sentence for people."""
        if text not in _OPENED and _REMOTE.fullmatch(text) is None:
            raise ValueError(f"{shorten(text)} is not a hypervisor that iecpod opens: {_listed(_OPENED)}")
        return super().__new__(cls, text)

    @property
    def is_on_this_host(self) -> bool:
        return self in _OPENED


EMBEDDED = HypervisorUri("embedded")
SYSTEM = HypervisorUri("qemu:///system")


def parse_connect(text: str) -> HypervisorUri:
    """The value of `-c`, or what a POD was deployed on. Raises `ValueError` with a sentence for people."""
    return _supported(HypervisorUri(text))


def parse_described(text: str) -> HypervisorUri:
    """The `remote_management.address` of a virtual node. Raises `ValueError` with a sentence for people."""
    if text not in _DESCRIBED and _REMOTE.fullmatch(text) is None:
        raise ValueError(f"{shorten(text)} is not a hypervisor that a descriptor may name: {_listed(_DESCRIBED)}")
    return _supported(HypervisorUri(text))


def _supported(uri: HypervisorUri) -> HypervisorUri:
    if not uri.is_on_this_host:
        raise ValueError(f"{shorten(uri)}: a hypervisor on another machine is not supported yet")
    return uri


def _listed(uris: tuple[str, ...]) -> str:
    return f"{', '.join(uris[:-1])} or {uris[-1]}"
