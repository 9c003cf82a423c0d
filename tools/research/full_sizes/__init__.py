"""What tools/research/full_size.py runs: an LMM of published size with random weights, and what must hold for it."""
