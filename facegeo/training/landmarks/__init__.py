"""Training of landmark networks: settings, losses, step, loop, measurement."""
