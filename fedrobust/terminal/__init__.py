"""Terminal output of runs, audits and sweeps."""
