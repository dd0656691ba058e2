"""The rich tier holds as many entities as fit into its memory, and is restored from snapshots and the inputs after them."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.errors import StateError
from streamgauge.udfs.entities.rich_store import RichInputs, RichStore

WIDTH = 50


def store(entities=4, width=WIDTH):
    return RichStore(width, entities * width * 8, "0/")


def feed(rich, slots, fresh, value, saved):
    slots, n = np.array(slots), len(slots)
    rich.clear(slots[np.array(fresh)])
    rich.fields[slots] += value
    writes, deletes = {}, []
    rich.save(
        [
            RichInputs(
                "series",
                slots,
                np.array(fresh),
                np.zeros(n, np.bool_),
                np.zeros(n, np.int64),
                np.full((n, 1), value),
                np.empty((n, 0)),
            ),
        ],
        writes,
        deletes,
    )
    for key in deletes:
        del saved[key]
    saved |= writes


def restored(rich, saved, taken):
    again = store()
    parts = {kind: {int(k[3:]): v for k, v in saved.items() if k[2] == kind} for kind in "ri"}
    for _, slots, fresh, _, _, X, _ in again.restore(rich.meta(), np.array(taken), 1, parts["r"], parts["i"]):
        for slot, new, x in zip(slots, fresh, X[:, 0], strict=True):
            again.fields[slot] = x if new else again.fields[slot] + x
    return again


def test_the_first_entities_get_the_slots_and_the_number_of_slots_is_known_beforehand():
    assert RichStore.entities_in(4 * WIDTH * 8, WIDTH, 1) == 4
    rich = store()
    assert rich.seat(np.zeros(6, np.int64), 1).tolist() == [1, 2, 3, 4, 0, 0]
    assert not rich.room(1)
    rich.leave(np.array([1]))
    assert rich.room(1)
    assert rich.seat(np.zeros(2, np.int64), 1).tolist() == [2, 0]
    assert len(rich) == 4


def test_more_fields_leave_room_for_fewer():
    assert RichStore.entities_in(4 * WIDTH * 8, WIDTH, 2) == 2


@pytest.mark.parametrize("turns", [1, 3, 40])
def test_snapshots_and_the_inputs_after_them_restore_the_state(turns):
    rich, saved = store(), {}
    slots = rich.seat(np.zeros(3, np.int64), 1) - 1
    for turn in range(turns):
        feed(rich, slots, [turn == 0] * 3, float(turn + 1), saved)
    np.testing.assert_array_equal(restored(rich, saved, slots).fields[:3], rich.fields[:3])


def test_a_slot_given_to_another_entity_forgets_the_first():
    rich, saved = store(), {}
    first = rich.seat(np.zeros(1, np.int64), 1) - 1
    feed(rich, first, [True], 5.0, saved)
    rich.leave(first)
    second = rich.seat(np.zeros(1, np.int64), 1) - 1
    feed(rich, second, [True], 7.0, saved)
    assert rich.fields[second[0], 0, 0] == 7.0
    np.testing.assert_array_equal(restored(rich, saved, second).fields[second], rich.fields[second])


def test_the_saved_state_does_not_grow_with_the_stream():
    rich, saved, sizes = store(), {}, []
    slots = rich.seat(np.zeros(4, np.int64), 1) - 1
    for turn in range(400):
        feed(rich, slots, [turn == 0] * 4, 1.0, saved)
        sizes.append(sum(map(len, saved.values())))
    assert max(sizes[200:]) <= 1.05 * max(sizes[:200])


def test_state_of_other_detectors_is_refused():
    rich, saved = store(), {}
    slots = rich.seat(np.zeros(1, np.int64), 1) - 1
    for turn in range(20):
        feed(rich, slots, [turn == 0], 1.0, saved)
    snapshots = {int(k[3:]): v for k, v in saved.items() if k[2] == "r"}
    with pytest.raises(StateError, match="50 numbers for each field, their header says 9"):
        store(width=9).restore(rich.meta(), slots, 1, snapshots, {})
