"""The measurement of tools/research/visual_chain_of_thought.py."""
