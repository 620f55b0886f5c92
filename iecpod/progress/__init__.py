"""Progress of a run: for terminals, logs, and programs that read events."""
