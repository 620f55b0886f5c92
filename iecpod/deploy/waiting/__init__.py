"""How phases wait and work on nodes: deadlines, waits, times of nodes, and what to do when one fails."""
