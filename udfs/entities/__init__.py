"""Stage 2: what is known of each entity.

In: entities, times and arrivals of events.
Out: the row of each event's entity in arrays of state; late events; entities that have fallen silent.
"""
