"""Controlled variants of a data set: recipes of operations, each reproducible from its seed and written down."""

from triaxis.axes.data.recipes.apply import Applied, applied
from triaxis.axes.data.recipes.chain import make_examples
from triaxis.axes.data.recipes.operations import OPERATIONS
from triaxis.axes.data.recipes.spec import Recipe, load_recipe, parse_recipe, with_output

__all__ = ["OPERATIONS", "Applied", "Recipe", "applied", "load_recipe", "make_examples", "parse_recipe", "with_output"]
