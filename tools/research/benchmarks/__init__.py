"""What tools/research/benchmark.py measures: each benchmark is a module with add_arguments(), run() and table()."""
