"""Which program of paged decode reads which block."""
