"""Files of events.

In: CSV, Parquet and JSONL, compressed or not, in a folder or at a URL.
Out: rows in order, a chunk at a time, and a report of what was not read.
"""
