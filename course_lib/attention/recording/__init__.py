"""What each program of a Triton kernel loads and stores, recorded while it is interpreted."""
