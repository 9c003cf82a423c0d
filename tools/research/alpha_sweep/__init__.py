"""Mask quality against image tokens on synthetic shapes: tools/research/sweep_alpha.py runs it."""
