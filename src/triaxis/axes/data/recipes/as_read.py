"""Which examples are as they were read, and what the others were: their rows need not be taken apart again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from weakref import WeakValueDictionary

from triaxis.types import Example

KEPT = 1024  # examples; an operation that works in blocks holds fewer


class AsRead:
    """The examples of a source, remembered: the last ones, and others for as long as somebody else keeps them."""

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        self._examples = examples
        self._last: deque[Example] = deque(maxlen=KEPT)
        self._read: WeakValueDictionary[int, Example] = WeakValueDictionary()  # by id() of the row

    def __iter__(self) -> Iterator[Example]:
        for example in self._examples:
            self.remember(example)
            yield example

    def remember(self, example: Example) -> None:
        """Take an example for one that is as it was read."""
        self._read[id(example.fields)] = example
        self._last.append(example)

    def before(self, example: Example) -> Example | None:
        """What an example was when it was read; None where that isn't known any more."""
        found = self._read.get(id(example.fields))
        return found if found is not None and found.fields is example.fields else None
