"""One thread a process: the tests run side by side, and what they compute is small."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # for the commands that tests start

import torch

torch.set_num_threads(1)
