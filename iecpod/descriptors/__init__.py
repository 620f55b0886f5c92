"""PDF and IDF: found, read, validated, parsed and checked against each other."""
