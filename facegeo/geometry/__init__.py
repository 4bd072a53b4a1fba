"""Boxes to crops and the exact inverse; parameters, poses, cameras. Pure batched functions."""
