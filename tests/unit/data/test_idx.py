import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from greenai_nb.data import idx


@given(arrays(np.uint8, array_shapes(max_dims=4, max_side=5)))
def test_parse_is_the_inverse_of_dump(array):
    assert np.array_equal(idx.parse(idx.dump(array)), array)


def test_parse_reads_bytes_written_by_hand():
    content = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
    assert idx.parse(content).tolist() == [[1, 2, 3], [4, 5, 6]]


@given(st.binary(max_size=30))
def test_other_bytes_are_refused_or_consistent(content):
    try:
        array = idx.parse(content)
    except ValueError:
        return
    assert idx.dump(array) == content


@pytest.mark.parametrize(
    "content", [b"", b"PNG", bytes([0, 0, 13, 1, 0, 0, 0, 0]), idx.dump(np.zeros(3, np.uint8))[:-1]]
)
def test_damaged_content_is_refused(content):
    with pytest.raises(ValueError, match="IDX"):
        idx.parse(content)


def test_only_bytes_are_dumped():
    with pytest.raises(ValueError, match="uint8"):
        idx.dump(np.zeros(3))
