"""Shared by all tests: two threads, whatever the machine has, so that timings and sums stay comparable."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))  # tiny_models is imported by name
torch.set_num_threads(2)
