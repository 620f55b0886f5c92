"""Which software a POD gets: release files, bundles, scenarios, as values."""
