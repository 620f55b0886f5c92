"""Whether the software of a POD can be had, from where, and what vouches for it."""
