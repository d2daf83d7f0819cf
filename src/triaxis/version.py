"""The version, which what is measured is stamped with."""

__version__ = "0.1.0"
