"""A POD on its hypervisor: what is to change, and what keeps it from that."""
