"""The outside world behind the ports: libvirt, SSH, consoles."""
