"""What this machine can do, and how Triton is started and repaired on it."""
