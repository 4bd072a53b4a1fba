"""PyTorch definitions, one architecture a file. Needs the extra ``[torch]``."""
