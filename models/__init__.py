"""Networks of facegeo beyond its default ones: the distribution ``facegeo-models``.

facegeo finds the folders ``*/weights`` beside this file through the entry point group
``facegeo.models``, or by itself when it runs from a checkout.
"""
