"""The phases of a deploy, one module each; they see ports and values only."""
