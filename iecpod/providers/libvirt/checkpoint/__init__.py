"""Checkpoints of domains: what decides them, how they are saved at one instant, and how they are made again."""
