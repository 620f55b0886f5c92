"""Base images and offline bundles: fetched, verified, built, and cached by what they are made from."""
