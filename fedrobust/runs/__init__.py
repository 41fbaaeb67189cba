"""The events, the folder and the record of a run."""
