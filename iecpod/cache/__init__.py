"""What was made or fetched once and is kept, who uses it, and the removal of it."""
