"""The training step on a GPU in few kernels: gradients by hand, all weights in one memory."""
