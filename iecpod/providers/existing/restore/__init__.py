"""A machine is put back to what its record says: the steps, and the comparison that proves it."""
