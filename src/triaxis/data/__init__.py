"""Data that the package ships: the demo's studies and the published tables."""
