"""Names of the columns of an entity's state: `EntityStore.head` (int64), `EntityStore.levels` and `EntityStore.fields` (float64).

A row of zeros belongs to an entity that was never seen.
"""

from __future__ import annotations

# Columns of every entity: events so far; newest event time; event time of the partition at its last event; place in the rich tier
# (slot + 1; 0 if it has none); one bit for each of its last events, set if the event was anomalous; incidents that followed each
# other, together with the event at which the last one ended; one bit for each of its last events, set if an incident wanted to
# quarantine the events after it, and from bit `ODD_FROM` on one bit for each of its last events, set if a value was odd.
SEEN, NEWEST, CLOCK, SLOT, RECENT, FLAPS, HISTORY = range(7)
# Columns that are used where silence is watched: arrival of the last event; longest usual gap; offset of the last event; time
# since which the entity is reported as silent, or 0; a negative time if it is silent together with its source.
ARRIVED, GAP, LAST, SILENT = range(7, 11)
# Columns of the open incident, all 0 if there is none: kind and kinds reported; quiet events in a row; anomalous events; time,
# offset and partition of the event that opened it; mark of the configuration; events since it opened; whether its events are
# learned again; severity; place of the member that opened it, plus 1; number of the field with the largest share in the event that
# opened it (`incidents.effects`); side of the expected value on which that field is, 0 if it was on both; number of the entity's event
# that opened it.
STATUS, QUIET, HITS, OPENED_TIME, OPENED_OFFSET, OPENED_PARTITION, CONFIG, AGE, RELEASED = range(11, 20)
SEVEREST, CHANNEL, BLAMED, SIDE, BEGAN = range(20, 25)
HEAD_COLUMNS = 25
# Number of columns saved for every entity: without and with silence. The others are saved for entities with an incident only.
ALWAYS, ALWAYS_TIMED = 7, 11

# Columns of `EntityStore.levels`, all about the incident: largest evidence; evidence that was reported last; and statistics of the
# deviations of its quarantined events: number, mean, sum of squares about the mean, last one, sum of squared changes; and the largest
# effect so far, in usual variations.
PEAK, REPORTED, QUARANTINED_N, QUARANTINED_MEAN, QUARANTINED_SQUARES, QUARANTINED_LAST, QUARANTINED_CHANGES = range(7)
LARGEST_EFFECT = 7
LEVEL_COLUMNS = 8

ODD_FROM = 20
QUARANTINED_AFTER = 16  # events of an entity after which its incident quarantines the next ones

# First columns of a field's state in `EntityStore.fields`: number of values, mean, variance, last value, lowest and highest usual
# value. `scoring.normalise` owns the others.
VALUES, CENTRE, VARIANCE, LAST_VALUE, LOWEST, HIGHEST = 0, 1, 2, 3, 6, 7
