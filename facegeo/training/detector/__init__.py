"""Training of facegeo's own face detector: composed scenes, assignment, loss, loop."""
