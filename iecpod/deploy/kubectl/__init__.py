"""What phases ask of the API server, and by which credentials."""
