"""PyTorch, on CPU and CUDA. Needs the extra ``[torch]``."""
