"""The hypervisor that iecpod starts for one POD, in a network namespace."""
