"""What a terminal shows of runs, audits and sweeps."""
