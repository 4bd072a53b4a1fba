"""The hot loops: the mesh kernel, and the reference that defines what it must compute."""
