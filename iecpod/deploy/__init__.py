"""How a deploy goes: phases, the loop over them, how they wait, and what they do on nodes and in the cluster."""
