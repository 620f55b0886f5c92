"""Whether the software of a POD is available, from where, and how it is verified."""
