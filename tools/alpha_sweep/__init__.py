"""Mask quality against image tokens on synthetic shapes: tools/sweep_alpha.py runs it."""
