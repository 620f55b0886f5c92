"""Networks that share a NIC by their VLAN tags, on the host's side."""
