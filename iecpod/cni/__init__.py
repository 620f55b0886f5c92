"""The pod networks that clusters can have: a module each, and the table of all."""
