"""The same table gives the same events, in whatever kind of file it is and however the file is written."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import assume, given
from hypothesis import strategies as st
from streamgauge.jobs.files.read_files import Columns, read_rows
from streamgauge.udfs.settings.event import MISSING, EventSettings

from tests.jobs.files.reading import events_of

EVENT = EventSettings(fields={"note": "text"})
COLUMNS = Columns("entity", "ts")
# letters of Latin-1, marks of dialects and line breaks, but no character that is no text
TEXTS = st.text(
    st.characters(codec="latin-1", exclude_categories=["Cc"], include_characters=',;|"\t\n'), min_size=1, max_size=8
)
WORDS = TEXTS.filter(lambda text: text.strip().casefold() not in MISSING)
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(
    lambda t: int(t.replace(tzinfo=UTC).timestamp() * 1000)
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "entity": st.one_of(st.sampled_from(["007", "7", "1.0"]), WORDS),
            "ts": TIMES,
            "value": st.none() | st.floats(allow_nan=False, allow_infinity=False, width=64),
            "count": st.none() | st.integers(-(2**63), 2**63 - 1),
            "note": st.none() | WORDS,
        }
    ),
    min_size=1,
    max_size=30,
)
WRITTEN = (
    str,
    lambda t: datetime.fromtimestamp(t / 1000, UTC).isoformat(),
    lambda t: datetime.fromtimestamp(t / 1000, UTC).strftime("%Y/%m/%d %H:%M:%S.%f"),
    lambda t: datetime.fromtimestamp(t / 1000, UTC).strftime("%d.%m.%Y %H:%M:%S.%f"),
)


def expected(rows):
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def as_csv(rows, delimiter, line_end, time, decimal):
    """A table as CSV; the column of numbers is of a kind that shows how decimals are written."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(("entity", "ts", "value", "count", "note"))
    for row in rows:
        value = "" if row["value"] is None else repr(row["value"]).replace(".", decimal)
        note = "" if row["note"] is None else row["note"]
        writer.writerow((row["entity"], time(row["ts"]), value, row["count"], note))
    return out.getvalue()


def packed(folder, name, content, suffix):
    """A file of this content, packed as its suffix says."""
    file = folder / f"{name}{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, content)
    else:
        pack = {"": bytes, ".gz": gzip.compress, ".zst": lambda raw: pa.compress(raw, "zstd", asbytes=True)}[suffix]
        file.write_bytes(pack(content))
    return file


def is_utf_8(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(
    ROWS,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(WRITTEN),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    st.sampled_from(["", ".gz", ".zst", ".zip"]),
    st.booleans(),
)
def test_csv_in_any_dialect(tmp_path_factory, rows, delimiter, line_end, time, encoding, suffix, commas):
    text = as_csv(rows, delimiter, line_end, time, "," if commas and delimiter != "," else ".")
    assume(encoding != "latin-1" or text.isascii() or not is_utf_8(text.encode(encoding)))
    file = packed(tmp_path_factory.mktemp("csv"), "a.csv", text.encode(encoding), suffix)
    assert events_of(file, COLUMNS, EVENT) == expected(rows)


@given(ROWS, st.sampled_from(["s", "ms", "us", "ns"]), st.sampled_from([None, "UTC", "Asia/Tokyo"]), st.booleans())
def test_parquet(tmp_path_factory, rows, unit, zone, coded):
    factor = 1000 if unit == "s" else 1
    rows = [row | {"ts": row["ts"] // factor * factor} for row in rows]
    table = pa.table(
        {
            "entity": pa.array([row["entity"] for row in rows]),
            "ts": pa.array([row["ts"] for row in rows], pa.timestamp("ms")).cast(pa.timestamp(unit, zone)),
            "value": pa.array([row["value"] for row in rows], pa.float64()),
            "count": pa.array([row["count"] for row in rows]),
            "note": pa.array([row["note"] for row in rows], pa.string()),
        }
    )
    if coded:
        table = table.set_column(0, "entity", table["entity"].dictionary_encode())
    file = tmp_path_factory.mktemp("parquet") / "a.parquet"
    pq.write_table(table, file)
    assert events_of(file, COLUMNS, EVENT) == expected(rows)


@given(ROWS, st.booleans(), st.sampled_from(["", ".gz", ".zst", ".zip"]))
def test_jsonl(tmp_path_factory, rows, named, suffix):
    text = "".join(json.dumps(row) + "\n" for row in expected(rows))
    file = packed(tmp_path_factory.mktemp("jsonl"), "a.jsonl", text.encode(), suffix)
    columns = COLUMNS if named else Columns()
    assert events_of(file, columns, EVENT) == expected(rows)
    for part in read_rows(file, columns, EVENT):
        assert part.entities == [row["entity"] for row in rows]
        assert part.times.tolist() == [row["ts"] for row in rows]
