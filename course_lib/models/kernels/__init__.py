"""The parts of a decoder layer besides attention as Triton kernels, each with its torch twin. Imports nothing."""
