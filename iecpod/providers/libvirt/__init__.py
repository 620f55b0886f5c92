"""Domains, networks and pools of one libvirt."""
