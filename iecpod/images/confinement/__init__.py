"""Programs that work on what others made, kept away from this host."""
