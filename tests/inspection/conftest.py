"""Decoding's tests run in one thread and meet the worst memory there is: a buffer holds NaN until it is written."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def fresh_memory_is_nan():
    torch.use_deterministic_algorithms(True)  # PyTorch then fills fresh memory
    yield
    torch.use_deterministic_algorithms(False)
