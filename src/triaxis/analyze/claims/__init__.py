"""Claims: statements written down before the data, a file each, and what the evidence says of them."""

from triaxis.analyze.claims.spec import Claim, in_order, load_claim, load_claims, shipped_claims
from triaxis.analyze.claims.verdicts import adjusted, judge, untestable

__all__ = ["Claim", "adjusted", "in_order", "judge", "load_claim", "load_claims", "shipped_claims", "untestable"]
