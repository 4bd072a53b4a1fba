"""NVIDIA GPUs through their driver. Importing this loads no driver and touches no device."""
