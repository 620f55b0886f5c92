"""Archives of container images: written, and read where somebody else wrote them."""
