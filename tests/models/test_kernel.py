"""Kernels count no references to arrays, and what would go wrong then is refused."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import streamgauge.models
import streamgauge.udfs
from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from streamgauge.models.kernel import kernel


def compiled_functions():
    """All compiled functions, each in the module that defines it."""
    for package in (streamgauge.models, streamgauge.udfs):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for function in vars(importlib.import_module(info.name)).values():
                if isinstance(function, Dispatcher) and function.py_func.__module__ == info.name:
                    yield function


def is_kernel(function):
    return function.targetoptions.get("_nrt") is False


def returns_a_slice(function):
    tree = ast.parse(inspect.getsource(function.py_func))
    returned = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    plain = [value.elts if isinstance(value, ast.Tuple) else [value] for value in returned]
    return any(
        isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Slice) for values in plain for value in values
    )


def first_of_each(rows, begins):
    """A function that slices slices."""
    total = 0.0
    for i in range(len(begins)):
        row = rows[i, begins[i] :]
        if begins[i] > 0:
            row = row[1:]
        total += row[0]
    return total


def doubled(values):
    """A function that makes an array."""
    both = np.empty(2 * len(values))
    both[: len(values)] = values
    return both[0]


@pytest.mark.parametrize(("compiled", "counts"), [(kernel, False), (njit, True)])
def test_a_kernel_counts_no_references_to_the_arrays_that_it_slices(compiled, counts):
    function = compiled(first_of_each)
    assert function(np.arange(20.0).reshape(4, 5), np.array([0, 1, 2, 3])) == 0.0 + 7.0 + 13.0 + 19.0
    (code,) = function.inspect_llvm().values()
    assert ("NRT_incref" in code) == counts


def test_a_function_that_makes_an_array_is_no_kernel():
    with pytest.raises(NumbaError, match="empty"):
        kernel(doubled)(np.arange(4.0))


def test_kernels_call_kernels_only():
    """An array that another compiled function returned would never be freed."""
    kernels = [function for function in compiled_functions() if is_kernel(function)]
    assert len(kernels) > 100
    others = {
        f"{function.py_func.__module__}.{function.__name__} calls {name}"
        for function in kernels
        for name in function.py_func.__code__.co_names
        if isinstance(called := function.py_func.__globals__.get(name), Dispatcher) and not is_kernel(called)
    }
    assert not others


def test_kernels_return_no_slice():
    """The caller would free an array that was not counted."""
    returned = {
        function.__name__ for function in compiled_functions() if is_kernel(function) and returns_a_slice(function)
    }
    assert not returned
