"""Results of runs as text, JSON and JUnit's XML."""
