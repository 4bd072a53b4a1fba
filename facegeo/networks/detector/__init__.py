"""facegeo's own face detector: a one-stage, anchor-free network, and its weights out of a file."""
