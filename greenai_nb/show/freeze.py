"""A private copy of a function: what a notebook does to its names afterwards does not reach it."""

import builtins
import copy
import dis
import functools
import inspect
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType
from typing import Any


def freeze(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of ``function`` with its own copies of all that it reads from where it was defined.

    These are the global names, closures and defaults of the function, and of the functions that it
    calls, as far as they were defined in the same notebook or module; partials, caches and decorated
    functions are looked into, and so are lists, tuples, sets and dictionaries. Modules, classes,
    functions of a package and whatever cannot be copied stay the same objects.
    """
    return _Snapshot(getattr(_innermost(function), "__globals__", {})).copy(function)


def _innermost(function: Any) -> Any:
    """The function inside partials, caches and decorators."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function) if callable(function) else function


class _Snapshot:
    """Copies that belong together: one private set of global names, and every object copied once."""

    def __init__(self, notebook: dict[str, Any]) -> None:
        self.notebook = notebook
        self.private: dict[str, Any] = {"__builtins__": builtins, "__name__": notebook.get("__name__")}
        self.copies: dict[int, Any] = {}

    def copy(self, value: Any) -> Any:
        """A copy of any object, or the object itself where it must stay the same or has no copy."""
        if id(value) not in self.copies:
            try:
                copied = self._copy(value)
            except Exception:  # locks, open files, tensors inside a graph: each type has its own error
                copied = value
            self.copies[id(value)] = copied
        return self.copies[id(value)]

    def _copy(self, value: Any) -> Any:
        if isinstance(value, functools.partial):
            arguments, keywords = map(self.copy, value.args), self.copy(value.keywords)
            return functools.partial(self.copy(value.func), *arguments, **keywords)
        if callable(value) and self._is_ours(value):
            return self._copy_function(value)
        kind = type(value)
        if kind is dict:
            table = self.copies[id(value)] = {}
            table.update((self.copy(key), self.copy(item)) for key, item in value.items())
            return table
        if kind is list:
            items = self.copies[id(value)] = []
            items.extend(map(self.copy, value))
            return items
        if kind in (tuple, set, frozenset):
            return kind(map(self.copy, value))
        return copy.deepcopy(value, self.copies)

    def _is_ours(self, function: Any) -> bool:
        """Whether it is a function, bare or wrapped, that was defined where the frozen one was."""
        return getattr(_innermost(function), "__globals__", None) is self.notebook

    def _copy_function(self, function: Any) -> Any:
        if hasattr(function, "cache_parameters"):
            return functools.lru_cache(**function.cache_parameters())(self.copy(function.__wrapped__))
        if not isinstance(function, FunctionType):
            return copy.deepcopy(function, self.copies)
        ours = function.__globals__ is self.notebook
        closure = function.__closure__ or ()
        cells = tuple(self.copies.setdefault(id(cell), CellType()) for cell in closure)
        copied = self.copies[id(function)] = FunctionType(
            function.__code__,
            self.private if ours else function.__globals__,
            function.__name__,
            self.copy(function.__defaults__),
            cells,
        )
        copied.__kwdefaults__ = self.copy(function.__kwdefaults__)
        for cell, own in zip(closure, cells, strict=True):
            own.cell_contents = self.copy(cell.cell_contents)
        for name in _global_names(function.__code__) if ours else ():
            if name in self.notebook and name not in self.private:
                self.private[name] = self.copy(self.notebook[name])
        return copied


def _global_names(code: CodeType) -> Iterator[str]:
    """The global names that a piece of code reads, with those of the functions inside it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)
