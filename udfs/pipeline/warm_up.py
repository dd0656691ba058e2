"""Compiles every kernel before the first batch, so that no event waits for it."""

from __future__ import annotations

import msgspec
import numpy as np
from streamgauge.models.catalog import COHORT
from streamgauge.models.detectors.cohort.windowed_forest import WindowedForest
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.events.stream_kind import KINDS
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.scoring.normalise import CHANNELS
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.detectors import HalfSpaceTreesSettings
from streamgauge.udfs.settings.pipeline import PipelineSettings

EVENTS = 300
TIME = 1_760_000_000_000  # of all events, in milliseconds since 1970


def warm_up(settings: PipelineSettings, models: Models) -> None:
    """Run short streams through the whole pipeline.

    Parameters
    ----------
    settings : PipelineSettings
        The kernels of the detectors in these settings are compiled.
    models : Models
    """
    small = HalfSpaceTreesSettings(n_trees=1, height=2, window_size=10)
    forests = {name: small for name, kind in COHORT.items() if issubclass(kind, WindowedForest)}
    chosen = {name: small for name in forests if getattr(settings.detectors, name)}
    event = settings.event.with_one_name()
    short = settings.model_copy(update={"detectors": settings.detectors.model_copy(update=chosen), "event": event})
    zeros, stamps = np.zeros(EVENTS, np.int64), np.full(EVENTS, TIME)
    longest = max((window.size for window in settings.windows.values()), default=0) + event.out_of_order
    name = event.entity_fields[0]
    for fields in (1, 2):
        shard = Shard(short, models=models)
        values = [
            {name: "e", "x": i % 7, "t": "a", **({"y": i} if fields > 1 and i % 3 else {})} for i in range(EVENTS)
        ]
        shard.process(RawBatch(list(map(msgspec.json.encode, values)), zeros, np.arange(EVENTS), stamps))
        shard.tick({0: longest})  # windows end
    detectors = shard.partitions[0].stages.scorer.detectors
    for kind in KINDS:
        detectors.learn_cohort(kind, np.full((EVENTS, 2 * CHANNELS), 0.5), np.zeros((EVENTS, 1)))
