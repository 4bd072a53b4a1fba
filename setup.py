"""Entry point for setuptools; every piece of static metadata is in pyproject.toml."""

from setuptools import setup

setup()
