"""Documents to events: takes events out of what their sender wrapped them in.

In: one document (a JSON object or array) of a record, as it was decoded.
Out: its events as nested dictionaries, in their order, with the time that the wrapper gives.
"""
