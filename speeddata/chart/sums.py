"""Least, mean and greatest of samples, by groups of them, so that no range has to be added anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speeddata.chart.readings import Statistics

NOTHING = Statistics(np.nan, np.nan, np.nan, 0)


class Sums(NamedTuple):
    """Of the finite samples of each group: how many they are, and their figures; NaN where there are none.

    All of shape (groups,). Means stand for sums, which could be too large for a number.
    """

    counts: NDArray[Any]
    means: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]


def of_samples(values: NDArray[np.float64]) -> Sums:
    """Each of *values* that is finite as a group of its own."""
    values = values[np.isfinite(values)]
    return Sums(np.ones(len(values), np.uint32), values, values, values)


def of_groups(values: NDArray[np.float64], heads: NDArray[np.int64]) -> Sums:
    """Of groups of neighbours.

    Args:
        values: samples in any order, shape (n,).
        heads: index of the first of each group, ascending from 0 on; none where there are no samples.
    """
    if not len(heads):
        return of_samples(values[:0])
    sizes = np.diff(heads, append=len(values))
    finite = np.isfinite(values)
    counts = sizes
    if not finite.all():
        counts = np.add.reduceat(finite, heads, dtype=np.int64)
        values = np.where(finite, values, np.nan)
    added = np.where(finite, values, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.add.reduceat(added, heads) / counts
    if np.isinf(means).any():  # a sum too large for a number: shares of it are not
        means = np.add.reduceat(added / np.repeat(np.maximum(counts, 1), sizes), heads)
    means = np.where(counts > 0, means, np.nan)
    return Sums(counts, means, np.fmin.reduceat(values, heads), np.fmax.reduceat(values, heads))


def told_of(parts: Iterable[Sums]) -> Statistics:
    """The figures of all groups of *parts* together."""
    together = [np.concatenate(each) for each in zip(*parts, strict=True)]
    if not together:
        return NOTHING
    there = together[0] > 0
    counts, means, lows, highs = (each[there] for each in together)
    total = int(counts.sum(dtype=np.int64))
    if not total:
        return NOTHING
    least, greatest = float(lows.min()), float(highs.max())
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float((means * counts).sum()) / total
    if not np.isfinite(mean):
        mean = float((means * (counts / total)).sum())
    return Statistics(least, min(max(mean, least), greatest), greatest, total)


def joined(a: Statistics, b: Statistics) -> Statistics:
    """The figures of the samples of both."""
    each = [
        Sums(*(np.array([value]) for value in (told.count, told.mean, told.minimum, told.maximum)))
        for told in (a, b)
    ]
    return told_of(each)
