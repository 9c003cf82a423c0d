"""The measurement of tools/research/reinforce_demo.py."""
