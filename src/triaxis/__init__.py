"""Triaxis: under what conditions reasoning SFT generalizes, and at what cost."""

__version__ = "0.1.0"
