"""The ways to have a model answer, behind one small interface."""

from triaxis.evaluate.backends.backend import Backend
from triaxis.evaluate.backends.choosing import Chosen, check_backend, choose, open_backend

__all__ = ["Backend", "Chosen", "check_backend", "choose", "open_backend"]
