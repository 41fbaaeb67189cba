"""Data sets (MedMNIST, the built-in phantom set, own files), and their partition over clients."""
