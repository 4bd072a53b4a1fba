"""Protocols of the papers: error measures, data sets, tables."""
