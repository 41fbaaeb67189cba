"""The page that tells what a run found: one HTML file, read from the run folder and from nothing else."""
