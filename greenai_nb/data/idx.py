"""The IDX format of the MNIST family: a type code, a shape and big-endian integers.

Source: LeCun, Cortes, Burges, *The MNIST database of handwritten digits*, "FILE FORMATS".
"""

import numpy as np

UNSIGNED_BYTE = 8


def parse(content: bytes) -> np.ndarray:
    """Read an array of unsigned bytes, of any shape, from the content of an IDX file.

    Raises ``ValueError`` where the header or the length does not fit.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise ValueError(f"not an IDX file of unsigned bytes: it starts with {content[:4]!r}")
    header = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    expected = header + int(np.prod(shape))
    if len(content) != expected:
        raise ValueError(f"IDX file of shape {shape} needs {expected} bytes, has {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def dump(array: np.ndarray) -> bytes:
    """Write an array of unsigned bytes as the content of an IDX file, the inverse of ``parse``."""
    if array.dtype != np.uint8:
        raise ValueError(f"IDX here holds uint8, got {array.dtype}")
    sizes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + sizes + array.tobytes()
