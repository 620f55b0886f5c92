"""Ways to get machines, each behind the port `iecpod.provider`."""
