"""Send events at a steady rate. Some are probes: they violate a rule, so each must raise an alert.

Run as ``python -m benchmarks.load --bootstrap=... --topic=... --rate=3000 --seconds=60``.
"""

from __future__ import annotations

import argparse
import time

from confluent_kafka import Producer

from benchmarks.common import payloads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="events a second; 0 is as fast as possible")
    parser.add_argument("--count", type=int, default=0, help="total number of events; 0 is no limit")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--entities", type=int, default=1000)
    parser.add_argument("--probes", type=float, default=0.0, help="probes a second")
    parser.add_argument("--fields", type=int, default=4)
    options = parser.parse_args()

    different = max(200_000 if options.fields <= 16 else 2000, options.entities)
    keys, values = payloads(different, options.entities, fields=options.fields)
    fast = options.rate == 0
    config = {
        "bootstrap.servers": options.bootstrap,
        "linger.ms": 20 if fast else 0,
        "acks": "1",
        "partitioner": "murmur2_random",
    }
    if fast:
        config |= {"batch.size": 262_144, "queue.buffering.max.messages": 500_000}
    producer = Producer(config)
    started = time.perf_counter()
    sent = probes = 0
    while True:
        elapsed = time.perf_counter() - started
        if elapsed > options.seconds or (options.count and sent >= options.count):
            break
        due = int(elapsed * options.rate) if not fast else sent + 5000
        if options.count:
            due = min(due, options.count)
        while sent < due:
            k = sent % len(keys)
            while True:
                try:
                    producer.produce(options.topic, values[k], keys[k])
                    break
                except BufferError:
                    producer.poll(0.05)
            sent += 1
        while probes < elapsed * options.probes:
            name = b"probe-%d-%d" % (time.time_ns(), probes)
            producer.produce(options.topic, b'{"entity":"%s","probe":1}' % name, name)
            probes += 1
        producer.poll(0)
        if not fast:
            time.sleep(0.001)
    producer.flush(60)


if __name__ == "__main__":
    main()
