"""What a decoder layer does besides attention, as Triton kernels for a GPU, each with its torch twin. Imports nothing."""
