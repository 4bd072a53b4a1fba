"""TensorRT: engines built, cached, inspected and run. Needs the extra ``[gpu]``."""
