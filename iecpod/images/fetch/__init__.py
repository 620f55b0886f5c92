"""What is fetched: images, charts, manifests, keys; each compared with what it must be."""
