"""Read a whole file at once, as tests want it."""

from __future__ import annotations

import json

from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import ALL_FIELDS, USUAL, payloads, read_rows


def events_of(path, columns=ALL_FIELDS, event=USUAL, report=None):
    """The events of a file, as the job would read them."""
    return [
        json.loads(text)
        for rows in read_rows(path, columns, event, report)
        for text in payloads(rows, event, rows.times)
    ]


def values_of(path, column, columns=ALL_FIELDS, event=USUAL, report=None):
    """The values of one field; None where it is missing."""
    return [value.get(column) for value in events_of(path, columns, event, report)]


def read(path, columns=ALL_FIELDS, event=USUAL):
    """Events of a file, and what was not read."""
    report = NotRead()
    return events_of(path, columns, event, report), report


def told(report):
    """What was not read: column, reason, count and lines of each entry."""
    return [(one["column"], one["reason"], one["count"], one["lines"]) for one in report.as_list()]
