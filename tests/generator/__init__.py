"""Made-up streams with planted faults: normal process x fault x number of entities x seed.

In: names, numbers, a seed.
Out: times, entities, values, and the events of each entity in which a fault must be told.
"""
