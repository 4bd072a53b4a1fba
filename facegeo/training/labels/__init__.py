"""Labels made from teachers and manual points."""
