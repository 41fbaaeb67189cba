"""The figures of a run and of compared runs, as files for papers and slides, each with its data."""
