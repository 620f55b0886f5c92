"""Addresses and networks of a POD: who gets which, and what must not overlap."""
