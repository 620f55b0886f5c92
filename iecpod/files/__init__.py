"""Files: the one way to read, to write, to unpack, and which are trusted."""
