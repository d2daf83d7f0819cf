"""Shows an analysis: a summary in the terminal, one self-contained HTML page, a small SVG figure."""

from __future__ import annotations

from triaxis.report.figure import trajectory_svg
from triaxis.report.html import write_html
from triaxis.report.terminal import print_analysis

__all__ = ["print_analysis", "trajectory_svg", "write_html"]
