"""The one way to web servers, and what an address on one may be."""
