"""Statistics on plain arrays: intervals, paired and crossed errors, the shape of a trajectory, contrasts of runs."""
