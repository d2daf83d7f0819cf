"""At the edge: results that others made (lm-evaluation-harness, inspect_ai, tables with a CSV of runs)."""

from triaxis.integrations.results import brought, read_results

__all__ = ["brought", "read_results"]
