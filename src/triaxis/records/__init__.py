"""The one long table and the study's database."""

from triaxis.records.joined import records_digest
from triaxis.records.published import published
from triaxis.records.store import CostRow, RunStatus, Store
from triaxis.records.table import Table, make_table, read_table

__all__ = [
    "CostRow",
    "RunStatus",
    "Store",
    "Table",
    "make_table",
    "published",
    "read_table",
    "records_digest",
]
