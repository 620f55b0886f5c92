"""Checkpoints of PODs as files of the cache: what they consist of, whether they are whole, and their removal."""
