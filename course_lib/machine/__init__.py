"""What this machine can do, and the repairs that Triton needs on some."""
