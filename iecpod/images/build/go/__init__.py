"""Programs compiled from Go modules."""
