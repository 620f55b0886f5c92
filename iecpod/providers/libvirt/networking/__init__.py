"""What NICs of domains are plugged into."""
