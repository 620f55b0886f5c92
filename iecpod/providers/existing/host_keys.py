"""Which host key of a machine is believed, and what is said of one that is not."""

from __future__ import annotations

from collections.abc import Collection

from iecpod.errors import NodeError
from iecpod.ssh_login import HostKey, Login

_CHANGED = (
    "find out why: it may be another machine, or an attack. If it was reinstalled, remove its line from "
    "known_hosts with `ssh-keygen -R`, or give the new key with --host-key"
)


def judge_host_key(
    node: str,
    address: str,
    offered: HostKey,
    login: Login,
    *,
    known: Collection[HostKey],
    revoked: Collection[HostKey],
) -> bool:
    """Whether the key is new to everybody and was accepted; False where it is known or expected.

    Raises `NodeError` for one that is not believed. What was said with --host-key counts before known_hosts.
    """
    shown = f"{address} offers the host key {offered.fingerprint} ({offered.type})"
    if offered in revoked:
        raise NodeError(node, f"{shown}, which known_hosts revokes", _CHANGED)
    own = {key.fingerprint for key in login.expected if key.address == address}
    expected = own or {key.fingerprint for key in login.expected if not key.address}
    if expected:
        if offered.fingerprint in expected:
            return False
        raise NodeError(node, f"{shown}, and --host-key expects {' or '.join(sorted(expected))}", _CHANGED)
    if offered in known:
        return False
    if known:
        listed = " and ".join(sorted(key.fingerprint for key in known))
        raise NodeError(node, f"{shown}, and known_hosts has {listed} of it", _CHANGED)
    if not login.accept_new:
        raise NodeError(
            node,
            f"{shown}, which is not in known_hosts and was not given with --host-key",
            "compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints at its console, and give "
            f"it with --host-key {address}={offered.fingerprint}; or take it on trust with --accept-new-host-keys",
        )
    return True
