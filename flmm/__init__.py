"""Masks for the words a frozen large multimodal model (LMM) reads or says."""

__version__ = '0.1.0'
