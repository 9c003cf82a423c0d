"""Qwen2-VL and Qwen2.5-VL with adaptive patches. Depends on transformers and flmm.apt alone."""
