"""What of a memory cut into contiguous pieces is used, reserved and wasted, under several policies."""
