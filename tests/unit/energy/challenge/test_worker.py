"""What a submission may answer."""

import numpy as np
import pytest
import torch

from greenai_nb.energy.challenge import worker

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "not started"),
        (..., "not started"),
        (np.zeros((4, 10)), r"shape \(4, 10\).*argmax"),
        (np.zeros(3, int), r"shape \(3,\) for 4 images, expected \(4,\)"),
        (0, r"shape \(\)"),
        ([0.0, 1.0, 2.0, 3.0], "float64"),
        ([True, False, True, False], "bool"),
        (["a", "b", "c", "d"], "integers"),
        ([0, 1, 2, 10], "0 to 10, expected 0 to 9"),
        ([0, 1, 2, -1], "-1 to 2, expected 0 to 9"),
    ],
)
def test_an_answer_that_is_no_class_is_a_sentence(answer, sentence):
    with pytest.raises(worker.EntryError, match=sentence):
        worker.classify(lambda images: answer, [IMAGES])


@pytest.mark.parametrize("answer", [[1, 2], np.array([1, 2], np.uint8), torch.tensor([1, 2])])
def test_classes_may_come_as_list_array_or_tensor(answer):
    assert worker.classify(lambda images: answer, [IMAGES[:2]] * 2).tolist() == [1, 2, 1, 2]
