"""Trained networks to ONNX files, in any precision, proven against what they came from."""
