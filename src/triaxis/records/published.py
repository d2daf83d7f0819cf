"""The paper's results, shipped with the package as long tables."""

from __future__ import annotations

from importlib.resources import as_file, files

from triaxis.records.table import Table, read_table


def published() -> Table:
    """Tables 1, 2, 5 and 9 of Ren et al. 2026 (arXiv:2604.06628v2), one `source` each.

    Scores are fractions, save AlpacaEval's, which is a reward model's. Base scores that the paper prints differently in
    two tables are both kept, with a warning.
    """
    with as_file(files("triaxis") / "data" / "published") as folder:
        return read_table(*sorted(folder.glob("*.csv")))
