"""Where a study becomes measurements: runs composed from the three axes, and the engines that carry them out."""
