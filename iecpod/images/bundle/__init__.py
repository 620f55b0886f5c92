"""Offline bundles: built, read, checked, carried in and out of the cache."""
