"""Training of the two bundled models: the generator of tales, the losses, the run and its evaluation."""
