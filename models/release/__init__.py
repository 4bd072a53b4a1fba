"""Scripts that turn a training run into a model that ships; not in the wheel.

Run from the repository's root: ``python -m models.release.ship_landmarks``.
"""
