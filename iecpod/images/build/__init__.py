"""Base images and their software, built and compiled here."""
