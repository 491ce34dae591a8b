"""The Triton kernels. Importing a module here imports Triton."""
