"""Which network leads nodes to everything that is in none of theirs."""

from __future__ import annotations

from iecpod.model import Idf, Network, NetworkName

#: Those that nodes have addresses on; where several name a gateway, the first of them.
_IN_ORDER = (NetworkName.PUBLIC, NetworkName.MGMT, NetworkName.ADMIN)


def find_way_out(idf: Idf) -> Network | None:
    """The network that names a gateway in it; public without one where none does; None without public.

    A gateway outside its network is public's all the same: that is refused, and not passed over.
    """
    networks = [network for name in _IN_ORDER if (network := idf.network(name)) and network.cidr is not None]
    named = (network for network in networks if network.gateway is not None and _counts(network))
    return next(named, None) or next((network for network in networks if network.name is NetworkName.PUBLIC), None)


def _counts(network: Network) -> bool:
    assert network.cidr is not None and network.gateway is not None
    return network.name is NetworkName.PUBLIC or network.gateway in network.cidr
