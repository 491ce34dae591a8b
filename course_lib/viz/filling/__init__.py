"""What a KV cache holds after each step, layer by layer, and what the step cost."""
