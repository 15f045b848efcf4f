"""Fixtures that several test modules share."""

from networks import tiny_weights

__all__ = ["tiny_weights"]
