"""Copy a function, so that later changes to the names in a notebook do not affect the copy."""

import functools
import io
import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle

NOTEBOOK = "__main__"


def freeze(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of ``function`` with its own copies of all that it reads from the notebook.

    Values are copied, and so are the functions that the notebook defines; what a package defines is
    shared. If anything cannot be copied, as a lock or an open file, ``function`` itself is returned.
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer).dump(function)
        return pickle.loads(buffer.getbuffer())
    except Exception:  # what cannot be copied raises an error of its own type
        return function


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Copies a notebook's caches too, but empty; cloudpickle would pass on the caches themselves."""

    def reducer_override(self, value: Any) -> Any:
        if hasattr(value, "cache_parameters") and value.__module__ == NOTEBOOK:
            return _cached, (value.__wrapped__, value.cache_parameters())
        return super().reducer_override(value)


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    return functools.lru_cache(**parameters)(function)
