"""Finding a name by some of its letters in their order: `rgtm` finds `rig.temperature`."""

from __future__ import annotations

from collections.abc import Iterable

_SEPARATORS = "._- "
_WHOLE = 10.0  # for letters that stand in the name as they were typed


def score(letters: str, name: str) -> float | None:
    """How well *letters* fit *name*, without case: higher is better; None where they do not.

    Letters that follow one another and letters that begin a word count more; a short name beats a long one.
    """
    wanted, text = letters.lower().replace(" ", ""), name.lower()
    fits = [fit for by_word in (False, True) if (fit := _in_order(wanted, text, by_word)) is not None]
    if not fits:
        return None
    return max(fits) + (_WHOLE if wanted in text else 0.0) - len(text) / 1000


def _in_order(letters: str, text: str, by_word: bool) -> float | None:
    """The worth of the first place of each letter; *by_word*: of one that begins a word, if there is one."""
    total, at = 0.0, -1
    for letter in letters:
        found = text.find(letter, at + 1)
        if by_word and found > at + 1:
            places = (i for i in range(found, len(text)) if text[i] == letter and _begins_word(text, i))
            found = next(places, found)
        if found < 0:
            return None
        total += 3.0 if found == at + 1 else 2.0 if _begins_word(text, found) else 1.0
        at = found
    return total


def _begins_word(text: str, at: int) -> bool:
    return at == 0 or text[at - 1] in _SEPARATORS


def found(letters: str, names: Iterable[str]) -> list[str]:
    """Those of *names* that *letters* fit, the best first; equally good ones stay in their order."""
    scored = [(fit, name) for name in names if (fit := score(letters, name)) is not None]
    return [name for _, name in sorted(scored, key=lambda each: -each[0])]
