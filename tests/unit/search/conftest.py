"""Small networks only wait for a second thread."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread_in_all():
    """All tests of a module, those of hypothesis included, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
