"""One Kafka partition: its records become events, and the events go through all stages and into windows."""

from __future__ import annotations

import copy

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.entities.columns import STATUS
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import Events, RawBatch, SchemaChange
from streamgauge.udfs.events.time import LATEST
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.dead_letter import dead_letter, late_event
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.output.side_records import schema_notice
from streamgauge.udfs.pipeline.stages import Stages
from streamgauge.udfs.pipeline.step_clock import StepClock
from streamgauge.udfs.pipeline.window_partitions import WindowPartitions, is_of_windows
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings


class Partition:
    """One Kafka partition, or one shard of entities.

    Parameters
    ----------
    settings : PipelineSettings
    origin : Origin
        Named in alerts; its partition is -1 for a shard of entities.
    in_force : InForce
        What control messages and feedback put in force; shared with the other partitions of the shard.
    models : Models
        Trained models; shared with all partitions of the task.
    reader : Reader
    saves : bool
        Whether results contain the changes of the saved state.

    Attributes
    ----------
    stages : Stages
    windows : WindowPartitions or None
        None if the settings name no windows.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        origin: Origin,
        in_force: InForce,
        models: Models,
        reader: Reader,
        saves: bool = True,
    ) -> None:
        self._settings, self.origin, self._reader, self._saves = settings, origin, reader, saves
        self.stages = Stages(settings, origin, in_force, models)
        self._unused: list[
            str
        ] = []  # keys of windows that are not in the settings any more; the next save deletes them
        self.windows = None
        if settings.windows:
            self.windows = WindowPartitions(settings, origin, in_force, self.stages.promise)
            self.stages.feed_windows = self.windows.feed

    @property
    def all_stages(self) -> list[Stages]:
        """The stages of the events, and those of each kind of windows."""
        return [self.stages, *(self.windows.stages if self.windows else ())]

    def process(self, raw: RawBatch, result: BatchResult) -> None:
        """Take a batch through all stages.

        Parameters
        ----------
        raw : RawBatch
            Records of this partition, in the order of their offsets.
        result : BatchResult
            The results are added.
        """
        clock, stages = StepClock(result.seconds), self.stages
        stages.scorer.adopt_models()
        events = self._read(raw, result)
        clock.lap("decode")
        clocks = events.times
        if self.windows:
            clocks, late = self.windows.clock.admit(events.times, raw.arrived[events.rows])
            clocks = clocks[late == 0]
            events = self._without_late(events, late, raw, result)
        situations = stages.entities.situations
        if situations:
            events.units = situations.units(events)
        for remark in stages.alignment.remarks(events):
            result.notices.append(schema_notice(remark, self.origin, remark.time))
        changes: list[SchemaChange] = []
        for start, stop, X in stages.alignment.matrices(events, changes):
            self._tell_unread(events, start, X, changes)
            clock.lap("align")
            stages.take(raw, events.slice(start, stop), X, clocks[start:stop], result, clock)
        result.notices += [schema_notice(one, self.origin, int(events.times[one.place])) for one in changes]
        result.count("schema_changes", len(changes))
        stages.events += len(raw)
        self._note_offsets(raw)
        self._save(result)
        clock.lap("save")

    def _read(self, raw: RawBatch, result: BatchResult) -> Events:
        """Read the events of a batch; records that cannot be scored become dead letters."""
        raw.stamps = np.where(raw.stamps > LATEST, -1, raw.stamps)  # such a number is no time in milliseconds
        events, dead = self._reader.read(raw)
        if (raw.stamps < 0).any():  # these records have no timestamp of Kafka; their events' time stands for it
            times = raw.stamps.copy()
            times[events.rows] = np.where(raw.stamps[events.rows] < 0, events.times, raw.stamps[events.rows])
            raw.stamps = times
        raw.arrivals = raw.stamps.copy()
        rows = np.unique(events.rows)  # one record may hold many events
        raw.arrivals[rows] = self.stages.arrivals.bounded(raw.stamps[rows])
        for letter in dead:
            result.dead_letters.append(dead_letter(raw, letter, self.origin.topic))
            result.count(f"dead_letters.{letter.reason}")
        result.count("skipped", events.skipped)
        result.count("events", len(events) + len(dead) + events.skipped)
        return events

    def _tell_unread(self, events: Events, start: int, X: Floats, changes: list[SchemaChange]) -> None:
        """Add a change for the first event of the partition of which nothing is looked at."""
        alignment = self.stages.alignment
        if "unread" in alignment.schema.told:
            return
        unread = self.stages.unread(X)
        if unread.any() and alignment.tell("unread"):
            place = start + int(unread.argmax())
            changes.append(SchemaChange("unread", "", alignment.unread(events.values[place]), place))

    def _note_offsets(self, raw: RawBatch) -> None:
        """Note the newest offset of each partition; a shard of entities has several."""
        offsets = self.stages.offsets
        for number in [self.origin.partition] if self.origin.partition >= 0 else np.unique(raw.partitions).tolist():
            newest = int(raw.offsets[raw.partitions == number].max(initial=-1))
            offsets[number] = max(newest, offsets.get(number, -1))

    def _without_late(self, events: Events, late: Ints, raw: RawBatch, result: BatchResult) -> Events:
        """Set late events aside; `late` is by how many milliseconds each event is late, 0 if it is not."""
        places = late.nonzero()[0].tolist()
        topic = self.origin.topic
        result.late += [late_event(raw, events, i, topic, int(late[i])) for i in places]
        result.count("late", len(places))
        return events.drop(set(places))

    def tick(self, elapsed: int, result: BatchResult) -> None:
        """Let time pass: no record came for `elapsed` milliseconds. Silent entities are reported, windows and old incidents end."""
        silence = self.stages.entities.silence
        if silence and silence.clock:
            self.stages.look_for_silence(silence.clock + elapsed, result)
        if self.windows:
            self.windows.tick(elapsed, result)
        for stages in self.all_stages:
            stages.pass_time(elapsed, result)
        if result.counts:  # without a report, nothing has changed
            self._save(result)

    # ---- what is open -------------------------------------------------------------------------------------------------

    def open_alerts(self) -> set[str]:
        """Ids of the alerts of all incidents and silences that are open."""
        return {identity for stages in self.all_stages for identity in _open_alerts(stages)}

    def knows(self, entity: str) -> bool:
        """Whether an entity is known, as far as its events or its silence go."""
        entities = self.stages.entities
        return bool(entities.rows_of(entity)) or bool(entities.silence and entity in entities.silence.store.index)

    # ---- judging without learning -------------------------------------------------------------------------------------

    def rehearsal(self, entities: set[str]) -> Partition:
        """A copy to judge events of these entities with, as this partition would. What it learns is its own.

        The copy knows no other entities, and feeds no windows. So it is made in a time that does not grow with the partition.
        """
        stages, settings = self.stages, self._settings
        shared = (settings, *vars(settings).values(), stages.in_force, stages.scorer.models, self._reader)
        windows = None if self.windows is None else self.windows.clock_only()
        memo = {id(one): one for one in shared} | stages.entities.copy_of(entities)
        memo |= {id(self.windows): windows, id(stages.feed_windows): None}
        return copy.deepcopy(self, memo)

    # ---- saved state --------------------------------------------------------------------------------------------------

    def _save(self, result: BatchResult) -> None:
        if not self._saves:
            for stages in self.all_stages:
                stages.forget_changes()
            if self.windows:
                self.windows.kept.forget_changes()
            return
        header = None
        if self.windows:
            self.windows.save(result)
            header = self.windows.header()
        self.stages.save(result, header)
        result.deletes += self._unused
        self._unused = []

    def restore(self, saved: dict[str, bytes]) -> None:
        """Read the state that an earlier run saved.

        Parameters
        ----------
        saved : dict of str to bytes
            Saved values of this partition, by key without the prefix.

        Raises
        ------
        StateError
            The state is damaged, or has an unknown format.
        """
        header = self.stages.restore(saved)
        if self.windows:
            self.windows.restore(saved, header.get("windows"), self.stages.entities.store.clock)
        else:
            self._unused = [f"{self.origin.key}/{key}" for key in saved if is_of_windows(key)]

    def canonical(self) -> bytes:
        """The whole state in one normal form: equal bytes for equal state, however the stream was cut into batches."""
        if not self.windows:
            return self.stages.canonical()
        return self.stages.canonical(self.windows.header(), {"windows": self.windows.canonical()})


def _open_alerts(stages: Stages) -> list[str]:
    entities, writer = stages.entities, stages.alerts
    store, situations, found = entities.store, entities.situations, []
    for row in np.flatnonzero(store.head[: len(store.names), STATUS] > 0).tolist():
        unit = store.names[row]
        found.append(writer.identity(situations.of(unit)[0] if situations else unit, store.head[row]))
    silences = entities.silence.open_silences() if entities.silence else []
    return found + [writer.identity_of_silence(one) for one in silences]
