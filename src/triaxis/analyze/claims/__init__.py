"""Claims: statements written down before the data, a file each, and what the evidence says of them."""

from triaxis.analyze.claims.spec import Claim, load_claim, shipped_claims
from triaxis.analyze.claims.verdicts import judge, untestable

__all__ = ["Claim", "judge", "load_claim", "shipped_claims", "untestable"]
