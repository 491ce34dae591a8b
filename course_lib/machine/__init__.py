"""What this machine can do, and a repair that some versions of Triton need."""
