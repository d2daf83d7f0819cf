"""Whether an error says that memory ran out: libraries say it in different words, and as different kinds."""

from __future__ import annotations

WORDS = (
    "can't allocate memory",  # torch's allocator on a CPU
    "cannot allocate memory",  # the system, for a file that is mapped
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is a lack of memory, of the machine or of its accelerator (torch.OutOfMemoryError)."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or any(w in told for w in WORDS)
