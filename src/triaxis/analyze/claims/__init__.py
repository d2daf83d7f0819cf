"""Claims: statements written down before the data, a file each, and what the evidence says of them."""

from triaxis.analyze.claims.ledger import load_claims, parse_claim, shipped_claims, shipped_files, whole_ledger
from triaxis.analyze.claims.spec import Claim
from triaxis.analyze.claims.verdicts import adjusted, judge, untestable

__all__ = [
    "Claim",
    "adjusted",
    "judge",
    "load_claims",
    "parse_claim",
    "shipped_claims",
    "shipped_files",
    "untestable",
    "whole_ledger",
]
