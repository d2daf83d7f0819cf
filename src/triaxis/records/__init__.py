"""The one long table and the study's database."""

from triaxis.records.joined import records_digest
from triaxis.records.published import published
from triaxis.records.store import SAVED, CostRow, DiagnosticRow, Diagnostics, RunRow, RunStatus, Store
from triaxis.records.table import Table, make_table, read_table
from triaxis.records.verify import Disagreement, VerifyResult, verify

__all__ = [
    "SAVED",
    "CostRow",
    "DiagnosticRow",
    "Diagnostics",
    "Disagreement",
    "RunRow",
    "RunStatus",
    "Store",
    "Table",
    "VerifyResult",
    "make_table",
    "published",
    "read_table",
    "records_digest",
    "verify",
]
