"""What a data set is: parts that each look at every example once, and say in the end what they found.

To add a part, write a file with a class like `Shape` (`add`, `merge`, `fresh`, `result`) and add it to `PARTS` here.
"""

from triaxis.axes.data.profile.difficulty import Difficulty
from triaxis.axes.data.profile.quality import Quality
from triaxis.axes.data.profile.shape import Shape
from triaxis.axes.data.profile.structure import Structure

PARTS = (
    ("shape", Shape),
    ("structure", Structure),
    ("quality", Quality),
    ("difficulty", Difficulty),
)

__all__ = ["PARTS", "Difficulty", "Quality", "Shape", "Structure"]
