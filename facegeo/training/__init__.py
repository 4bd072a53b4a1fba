"""Losses, data, augmentation and the training loop. Needs the extra ``[train]``."""
