"""Everything that decides: pure functions of their arguments, without clock, randomness or input and output."""
