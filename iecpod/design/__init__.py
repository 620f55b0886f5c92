"""From a valid POD to the exact objects it consists of."""
