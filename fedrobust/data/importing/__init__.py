"""Import of own images: from folders, tables and arrays to an `.npz` file with annotations."""
