"""Networks that turn crops into feature vectors, one family a file."""
