"""Logs of a POD, collected without its secrets."""
