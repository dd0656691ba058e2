"""How the kernels of detectors are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that neither makes nor returns an array.

    Numba counts the references to each array and each slice of one, with an atomic instruction each. A detector takes many slices for
    each value, so the counting took a quarter of the time of an event. A function that makes no array needs no count: the caller keeps
    the arrays alive.

    Parameters
    ----------
    function : callable
        It may read and write the arrays that it is given, and slices of them, and it returns numbers or nothing. It calls no function
        that returns an array. A function that makes an array is compiled with `numba.njit` instead; numba refuses it here.

    Returns
    -------
    callable
        The compiled function, which numba keeps on disk.
    """
    return njit(cache=True, _nrt=False)(function)
