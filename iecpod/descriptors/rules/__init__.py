"""What a schema cannot see: rules about values that must fit each other, one function each."""
