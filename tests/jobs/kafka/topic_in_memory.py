"""A topic without Kafka: what a consumer of its one partition gives."""

from __future__ import annotations

from kafka import TopicPartition


class TopicInMemory:
    """A consumer of a topic with one partition.

    Parameters
    ----------
    name : str
    kept : list
        Its records, at least one, in the order of offsets.
    reset : str
        Where it reads from an offset that the topic does not have: earliest or latest.
    ended : callable
        Called when all records were read.
    """

    def __init__(self, name, kept, reset="latest", ended=lambda: None):
        self.name, self.kept, self.reset, self.ended, self.at = name, kept, reset, ended, 0

    def topics(self):
        return {self.name}

    def partitions_for_topic(self, topic):
        return {0} if topic == self.name else set()

    def assign(self, places):
        pass

    def beginning_offsets(self, places):
        return dict.fromkeys(places, self.kept[0].offset)

    def end_offsets(self, places):
        return dict.fromkeys(places, self.kept[-1].offset + 1)

    def seek(self, _, offset):
        self.at = offset

    def position(self, _):
        return self.at

    def poll(self, _):
        begin, end = self.kept[0].offset, self.kept[-1].offset + 1
        if not begin <= self.at <= end:  # as Kafka's clients do it
            self.at = begin if self.reset == "earliest" else end
        new = [record for record in self.kept if record.offset >= self.at]
        self.at = end
        if not new:
            self.ended()
        return {TopicPartition(self.name, 0): new} if new else {}
