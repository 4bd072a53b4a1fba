"""SynergyNet (Wu et al. 2021): configuration, network, point networks, weights, the release."""
