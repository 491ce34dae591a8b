"""What each program of a Triton kernel loads and stores, recorded while the kernel is interpreted."""
