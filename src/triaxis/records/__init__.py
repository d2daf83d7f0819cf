"""The one long table and the study's database."""

from triaxis.records.published import published
from triaxis.records.table import Table, make_table, read_table

__all__ = ["Table", "make_table", "published", "read_table"]
