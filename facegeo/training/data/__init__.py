"""Samples: labelled crops read, and seen anew in every epoch."""
