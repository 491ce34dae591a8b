"""How results look: HTML and plain text."""
