"""Archives of container images: written, and read where they come from outside."""
