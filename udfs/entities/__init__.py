"""Stage 2: the state of each entity.

In: entities, times and arrivals of events.
Out: for each event, the row of its entity in the arrays of state; late events; entities that have fallen silent.
"""
