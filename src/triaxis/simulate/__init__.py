"""Studies with a known truth: long tables as a real study would give them, and what was planted in them."""

from triaxis.simulate.courses import Course
from triaxis.simulate.generate import Simulated, study
from triaxis.simulate.measures import Measure, Surge
from triaxis.simulate.planted import Capability, Noise, Peak, Saturation, Threshold, Variant
from triaxis.simulate.settings import Settings
from triaxis.simulate.truth import TrueDip, Truth

__all__ = [
    "Capability",
    "Course",
    "Measure",
    "Noise",
    "Peak",
    "Saturation",
    "Settings",
    "Simulated",
    "Surge",
    "Threshold",
    "TrueDip",
    "Truth",
    "Variant",
    "study",
]
