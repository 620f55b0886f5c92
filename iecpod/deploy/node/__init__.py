"""What phases run on a node."""
