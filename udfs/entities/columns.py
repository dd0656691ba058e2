"""Columns of an entity's state, by name: `EntityStore.head` (int64) and `EntityStore.levels` (float64).

A row of zeros is an entity that was never seen.
"""

from __future__ import annotations

# What every entity has: events seen; newest event time; clock of the partition at its last event; place in the rich tier (one more
# than the slot, 0 is none); a bit for each of its last events that was anomalous; incidents that followed each other, and the event
# at which the last one ended; a bit for each of its last events after which nothing was to be learned.
SEEN, NEWEST, CLOCK, SLOT, RECENT, FLAPS, HISTORY = range(7)
# Where silence is watched: arrival of the last event; the longest usual gap; offset of the last event; since when it is silent.
ARRIVED, GAP, LAST, SILENT = range(7, 11)
# The open incident, all zero without one: kind and kinds reported; quiet events in a row; anomalous events; time, offset and
# partition of the event that opened it; mark of the configuration; events since it opened; whether its events are learned again.
STATUS, QUIET, HITS, OPENED_TIME, OPENED_OFFSET, OPENED_PARTITION, CONFIG, AGE, RELEASED = range(11, 20)
HEAD_COLUMNS = 20
# Columns saved for every entity, and where silence is watched; the others are saved with an incident only.
ALWAYS, ALWAYS_TIMED = 7, 11

# Columns of `EntityStore.levels`, all of an incident: largest evidence; evidence that was reported last; and of the quarantined
# events' deviations: number, mean, squares about the mean, the last one, squares of the changes.
PEAK, REPORTED, HELD_N, HELD_MEAN, HELD_SQUARES, HELD_LAST, HELD_CHANGES = range(7)
LEVEL_COLUMNS = 7

QUARANTINED_AFTER = 16  # events of an entity's own, after which an incident keeps its events from being learned

# Columns of a field's state, at the front of `EntityStore.fields`: number of values, mean, variance, last value, lowest and highest
# usual value. `scoring.normalise` owns the others.
VALUES, CENTRE, VARIANCE, LAST_VALUE, LOWEST, HIGHEST = 0, 1, 2, 3, 6, 7
