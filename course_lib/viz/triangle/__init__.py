"""What goes through the model in each step, and how much of it went through before."""
