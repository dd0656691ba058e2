"""The operator in Java, on a Flink in this machine's memory: no record is lost, changed or out of order."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import chain

import pytest
from streamgauge.udfs.flink.batch_format import read_batch

MOST_RECORDS = 10_000  # as RecordBatches.java says
PROGRAM = """
import json, sys
from pathlib import Path
from pyflink.common import Row, Types
from pyflink.datastream import StreamExecutionEnvironment
from streamgauge.jobs.cluster.java_operator import add_jar, brought_together, gathered
folder, together, records = json.load(sys.stdin)
env = StreamExecutionEnvironment.get_execution_environment()
env.set_parallelism(2 if together else 1)
add_jar(env, Path(folder))
column = Types.PRIMITIVE_ARRAY(Types.BYTE())
kind = Types.ROW([Types.INT(), Types.LONG(), Types.LONG(), column, column])
rows = [Row(*numbers, *(None if text is None else bytes.fromhex(text) for text in texts)) for numbers, texts in records]
stream = env.from_collection(rows, kind)
batches = gathered(brought_together(stream) if together else stream, 5, 2, [])
with batches.execute_and_collect() as found:
    print(json.dumps([(row[0], bytes(n & 255 for n in row[1]).hex()) for row in found]))
"""


def records():
    """Shard, position, timestamp, payload, key. Shard 1 has many records, shard 2 has such without a key or payload."""
    choose = random.Random(4)
    many = [(1, i, choose.randrange(-1, 2**60), b"%d" % i, b"") for i in range(MOST_RECORDS * 2 + 3)]
    without = [(2, 7, -1, None, b"key"), (2, 2**62, 1, b"", None), (2, 9, 2, b"\x00\xff", b"\xff")]
    return many + without


@pytest.fixture(scope="module", params=[False, True], ids=["where they are read", "brought together"])
def batches(request, tmp_path_factory):
    """Batches of each shard, in the order in which they came."""
    asked = [(record[:3], [None if text is None else text.hex() for text in record[3:]]) for record in records()]
    asked = [str(tmp_path_factory.mktemp("jar")), request.param, asked]
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {}
    for shard, text in json.loads(done.stdout.splitlines()[-1]):
        found.setdefault(shard, []).append(read_batch(bytes.fromhex(text), 2))
    return found


@pytest.mark.parametrize("shard", [1, 2])
def test_all_records_of_a_shard_come_unchanged_and_in_their_order(batches, shard):
    found = [
        list(zip(batch.positions.tolist(), batch.stamps.tolist(), *batch.columns, strict=True))
        for batch in batches[shard]
    ]
    assert list(chain.from_iterable(found)) == [tuple(rest) for of, *rest in records() if of == shard]


def test_a_batch_is_passed_on_when_it_is_large(batches):
    assert max(len(batch.positions) for batch in batches[1]) <= MOST_RECORDS
    assert len(batches[1]) >= 3
