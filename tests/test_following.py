"""A found channel followed: whose word counts, and under which schema its datums are handed out."""

from __future__ import annotations

import numpy as np
import pytest
from by_hand import BULK_TEXT, RIG_TEXT, bulk, rig

from speeddata.errors import DataError
from speeddata.names import Endpoint
from speeddata.wire.announcement import Announcement
from speeddata.wire.finding import Found
from speeddata.wire.following import Following

S = 10**9
FULL, THIN = Endpoint("239.1.1.1", 20000), Endpoint("239.1.1.2", 20000)


def word(text=RIG_TEXT, endpoint=FULL, **fields):
    said = {"full": str(FULL), "decimated": str(THIN), **fields}
    return Found(Announcement("relay", "rig", "s", text, said), ("127.0.0.1", 4000), endpoint)


def arrived(following, *datums, now_ns=0):
    offsets = np.cumsum([0, *map(len, datums)])
    return [(batch.schema.name, batch.data) for batch in following.batches(b"".join(datums), offsets, now_ns)]


def test_the_decimated_group_has_its_own_schema():
    assert not Following(word(decimated_schema=BULK_TEXT), 0).thin
    following = Following(word(endpoint=THIN, decimated_schema=BULK_TEXT), 0)
    assert (following.thin, following.schema.name, following.channel) == (True, "bulk", "rig")


def test_datums_still_on_their_way_keep_the_schema_before_until_all_that_waited_is_taken():
    following = Following(word(), 0)
    following.heard(word(BULK_TEXT), 1)
    (old,), (new,) = rig([1]), bulk([1], 9)
    assert arrived(following, old, new) == [("rig", old), ("bulk", new)]
    following.settle()
    assert arrived(following, old) == [("bulk", old)]  # for whoever decodes it to refuse


def test_a_schema_that_cannot_be_used_changes_nothing_but_the_refusal():
    following = Following(word(), 0)
    following.heard(word("[]"), 1)
    assert following.schema.name == "rig"
    assert "announced by 127.0.0.1:4000" in str(following.refusal)
    refusal = following.refusal
    following.heard(word("[]"), 2)  # said again each second: looked at once
    assert following.refusal is refusal
    following.heard(word(BULK_TEXT), 3)
    assert (following.refusal, following.schema.name) == (None, "bulk")
    with pytest.raises(DataError):
        Following(word("[]"), 0)


def test_it_is_gone_when_it_ended_or_nothing_is_heard_for_three_seconds():
    following = Following(word(), 0)
    assert not following.gone(3 * S)
    assert following.gone(3 * S + 1)
    arrived(following, *rig([1]), now_ns=4 * S)
    assert not following.gone(5 * S)
    following.heard(word(state="end"), 5 * S)
    assert following.gone(5 * S)
    assert following.ended
