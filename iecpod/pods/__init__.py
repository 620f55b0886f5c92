"""One POD as commands see it: its directory, saved options, and what was asked for."""
