"""Options that commands share, and what they become."""
