"""What the model offers as the next token, what temperature and cut leave, and what was chosen."""
