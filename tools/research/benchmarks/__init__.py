"""What tools/research/benchmark.py measures: each benchmark is a module with run() and table()."""
