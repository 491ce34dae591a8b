"""One step of the engine as a strip of kernels, several versions under each other, each with its limit."""
