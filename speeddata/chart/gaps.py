"""What distance of two samples is a gap, told by the distances that they usually have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.chart.envelope import Abscissa

INTERVALS = 1024  # neighbouring ones that tell enough

_MISSED, _LATE = 1.75, 1.5  # times the median interval and the rarely exceeded one: beyond both is a gap


def gap_over(intervals: NDArray[Any]) -> Abscissa | None:
    """What a gap is longer than, where samples usually have these *intervals*; None: not known."""
    if len(intervals) < 2:
        return None
    ordered = np.sort(intervals)
    usual, rare = ordered[len(ordered) // 2], ordered[(len(ordered) - 1) * 98 // 100]
    return max(_MISSED * usual.item(), _LATE * rare.item()) or None
