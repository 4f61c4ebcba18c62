"""How samples were thinned on their way here: told in the header of a container, and handed on with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_NONE = "none"
_LONGEST = 100  # characters, of a method that somebody else wrote


@dataclass(frozen=True)
class Thinning:
    """What is left of the samples that were sent.

    Attributes:
        factor: one in so many; 0 where nobody can say, since windows went by the abscissa.
        method: how the one was made of the many; several, in order, with a + between. "none": all are there.
    """

    factor: int = 1
    method: str = _NONE

    def then(self, factor: int, method: str) -> Thinning:
        """Thinned once more."""
        methods = [each for each in (self.method, method) if each != _NONE]
        return Thinning(self.factor * factor, "+".join(methods) or _NONE)

    @property
    def metadata(self) -> dict[str, str]:
        """For the header of a container; nothing where nothing was thinned."""
        if self.method == _NONE:
            return {}
        factor = {"speeddata.factor": str(self.factor)} if self.factor else {}
        return {**factor, "speeddata.method": self.method}


def told(text: Callable[[str], str]) -> Thinning:
    """What a container's header says; *text* gives its entries by key, "" for none."""
    method, factor = text("speeddata.method")[:_LONGEST], text("speeddata.factor")
    if not method:
        return Thinning()
    return Thinning(int(factor) if factor.isascii() and factor.isdigit() and len(factor) < 10 else 0, method)
