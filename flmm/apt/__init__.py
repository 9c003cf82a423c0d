"""Adaptive patches: fewer image tokens where an image is smooth. Depends on torch alone."""
