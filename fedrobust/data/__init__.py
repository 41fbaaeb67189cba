"""Images and labels: MedMNIST, the built-in phantom set, own files, and how clients share them."""
