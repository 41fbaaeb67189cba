"""Models as attacks see them: answers, gradients, and what is compiled, wrapped or read from a file."""
