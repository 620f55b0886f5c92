"""YAML with positions, in bounded time and memory."""
