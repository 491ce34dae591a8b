"""How many requests fit on a GPU beside the weights."""
