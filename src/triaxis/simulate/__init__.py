"""Studies with a known truth: long tables as a real study would give them, and what was planted in them."""

from triaxis.simulate.generate import Simulated, study
from triaxis.simulate.settings import Noise, Settings
from triaxis.simulate.truth import Truth

__all__ = ["Noise", "Settings", "Simulated", "Truth", "study"]
