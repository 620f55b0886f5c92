"""libvirt through its own library."""
