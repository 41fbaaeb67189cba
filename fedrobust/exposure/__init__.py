"""What a run exposes of its images: attacks on privacy, made on the run, its updates and shadows of its study."""
