"""Joins commands with adapters and providers: nothing else knows both."""
