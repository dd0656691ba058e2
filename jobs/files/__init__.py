"""Files of events.

In: CSV, JSONL and Parquet.
Out: rows in order, a chunk at a time.
"""
