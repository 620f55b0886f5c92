"""`iecpod checkpoint`: a file a verb, and what they share."""
