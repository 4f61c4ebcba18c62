"""HDF5's own call to write a dataset, for text: by way of h5py each one would be copied twice more.

h5py first makes a copy of every text of variable length, in memory of its own, and gives that to HDF5: two
fifths of the time. HDF5 takes ours as it is, and meanwhile other threads can go on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import h5py
from h5py._objects import phil  # the lock that h5py takes for every call
from numpy.typing import NDArray

_HID, _HERR = ctypes.c_int64, ctypes.c_int  # H5Ipublic.h, H5public.h
_DEFAULT = 0  # H5P_DEFAULT of H5Ppublic.h

Call = Callable[..., int]


def _found() -> Call | None:
    """`H5Dwrite` of the library that h5py itself uses; None where that cannot be reached."""
    try:
        call = ctypes.CDLL(h5py.h5d.__file__).H5Dwrite
    except (OSError, AttributeError):
        return None
    call.argtypes, call.restype = (*[_HID] * 5, ctypes.c_void_p), _HERR
    return call


_h5dwrite = _found()


def write(
    dataset: h5py.h5d.DatasetID,
    memory: h5py.h5t.TypeID,
    at: h5py.h5s.SpaceID,
    values: NDArray[Any],
) -> None:
    """Write *values*, which lie end to end in memory as elements of type *memory*, to what *at* selects."""
    shape = h5py.h5s.create_simple(values.shape)
    # Python's objects are of a class that only h5py knows
    if _h5dwrite is not None and memory.get_class() == h5py.h5t.STRING:
        with phil:
            if _h5dwrite(dataset.id, memory.id, shape.id, at.id, _DEFAULT, values.ctypes.data) >= 0:
                return
    dataset.write(shape, at, values, memory)  # which says why not
