"""Machines that have their operating system already: looked at, prepared, and put back as they were."""
