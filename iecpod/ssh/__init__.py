"""SSH: shells on nodes, keys, host keys."""
