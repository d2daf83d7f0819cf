"""Every operation that a recipe can name. To add one, write a file like `scale.py` and list it here."""

from __future__ import annotations

from triaxis.axes.data.recipes.cap import Cap
from triaxis.axes.data.recipes.decontaminate import Decontaminate
from triaxis.axes.data.recipes.dedupe import Dedupe
from triaxis.axes.data.recipes.exposure import Exposure
from triaxis.axes.data.recipes.mixture import Mixture
from triaxis.axes.data.recipes.noise import Noise
from triaxis.axes.data.recipes.operation import Operation
from triaxis.axes.data.recipes.replay import Replay
from triaxis.axes.data.recipes.scale import Scale
from triaxis.axes.data.recipes.select import Select
from triaxis.axes.data.recipes.structure import Structure
from triaxis.axes.data.recipes.verify import Verify

_LISTED: tuple[type[Operation], ...] = (
    Select,
    Verify,
    Dedupe,
    Decontaminate,
    Cap,
    Mixture,
    Scale,
    Structure,
    Noise,
    Replay,
    Exposure,
)
OPERATIONS: dict[str, type[Operation]] = {operation.name: operation for operation in _LISTED}
