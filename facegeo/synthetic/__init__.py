"""Images made for training and evaluation: what both need of them."""
