"""Upstream's end-to-end tests against a cluster."""
