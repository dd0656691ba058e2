"""Opinions become verdicts: against calibrators that stand alone, and means that are written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.models.calibration.calibration import TailCalibrator
from streamgauge.models.calibration.pooled_tail import PooledTail
from streamgauge.models.ensemble.ensemble import disagree, interval
from streamgauge.udfs.scoring.calibrate import RELATIONS, SHADOW, TAIL_KNOWN, Calibrators, Members
from streamgauge.udfs.scoring.join import ranked
from streamgauge.udfs.scoring.opinions import EVIDENCE, Opinions
from streamgauge.udfs.settings.pipeline import CalibrationSettings

NAMES = ["level", "run", "field", "fields", "value_novelty", "relations", "loda", "tail", "model", f"model{SHADOW}"]
WARMUP, MEMORY = 50, 1000
SETTINGS = CalibrationSettings(warmup=WARMUP, memory=MEMORY)
KINDS = {"run": "collective", "relations": "contextual"}
IN_NATS = ("level", "run", "value_novelty", "relations")
WEIGHTS = {"loda": 2.0, f"model{SHADOW}": 0.0}


def flags(*names):
    return np.array([name in names for name in NAMES])


MEMBERS = Members(
    names=NAMES,
    of_runs=np.array([False, True]),
    weights=np.array([WEIGHTS.get(name, 1.0) for name in NAMES]),
    in_nats=flags(*IN_NATS),
    apart=~flags("loda", "tail"),
    ranks=~flags("run"),
    trained=flags("model", f"model{SHADOW}"),
    kinds=[KINDS.get(name, "point") for name in NAMES],
)
JOINED_LOOKS = ("run", "relations", "model")  # besides those of the fields, and of the ensemble


def opinions_of(n, seed=0, **given):
    """Exponential raw scores, of which a fifth is missing; the members in `given` have these raw scores."""
    random = np.random.default_rng(seed)
    raw = random.exponential(size=(n, len(NAMES)))
    raw[random.random(raw.shape) < 0.2] = np.nan
    for name, values in given.items():
        raw[:, NAMES.index(name)] = values
    joined = np.where(random.random(n) < 0.1, np.nan, random.exponential(size=n))
    by_kind = np.nan_to_num(joined)[:, None] * np.array([1.0, 0.5, 0.0, 0.0, 0.25])
    none, no = np.zeros((n, 0)), np.empty((n, 0), np.bool_)
    contributions = [None] * len(NAMES)
    return Opinions(
        list(NAMES), raw, contributions, [], np.zeros(n), none, none, no, np.empty((n, 1, 2)), joined, by_kind
    )


def alone(name, raw):
    """Evidence of a member by a calibrator that stands alone, and whether it is known."""
    known = ~np.isnan(raw)
    if name in IN_NATS:
        return raw, known
    if name == "field":
        return PooledTail().rate_learn_many(raw.copy()), known
    runs = {"rare": 1e-3, "least": 0.02} if name in KINDS else {}
    return TailCalibrator(MEMORY, WARMUP, **runs).rate_learn_many(raw.copy()), known & (np.cumsum(known) > WARMUP)


def harmonic(looks, counts):
    """Evidence of looks (NaN is absent) that count for several each; the part of each look."""
    present = ~np.isnan(looks)
    sums = np.where(present, counts * np.exp(np.nan_to_num(looks)), 0.0)
    whole = np.where(present, counts, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.maximum(np.log(sums.sum(axis=1) / whole), 0.0), np.maximum(np.log(sums / whole[:, None]), 0.0)


def reference(opinions, seen, in_order):
    """All that `Calibrators.calibrate` says, step by step."""
    evidence, ready = {}, {}
    for k, name in enumerate(NAMES):
        evidence[name], ready[name] = alone(name, opinions.raw_scores[:, k])
    weights = {name: np.where(ready[name], WEIGHTS.get(name, 1.0), 0.0) for name in ("loda", "tail", "model")}
    total = np.sum(list(weights.values()), axis=0)
    together = sum(weight * np.where(ready[name], evidence[name], 0.0) for name, weight in weights.items())
    combined = np.where(total > 0.0, together / np.where(total > 0.0, total, 1.0), np.nan)
    ensemble = np.fmax(TailCalibrator(MEMORY, WARMUP).rate_learn_many(combined.copy()), combined - 1.0)
    fields = np.where(ready["field"], evidence["field"], opinions.joined)
    fields = np.where(ready["fields"], evidence["fields"], fields)
    raw = opinions.raw_scores[:, NAMES.index("fields")]
    exponential = TailCalibrator(MEMORY, WARMUP, steepest=0.0).rate_learn_many(raw.copy())
    known = (np.cumsum(~np.isnan(raw)) > TAIL_KNOWN) & ~np.isnan(exponential)
    others = [np.where(ready[name], evidence[name], np.nan) for name in JOINED_LOOKS]
    counts = np.array([1.0, 1.0, RELATIONS, 1.0, 1.0])
    joined, parts = harmonic(np.column_stack((np.where(known, exponential, fields), *others, ensemble)), counts)
    ranking = [0, 2, 3, 4] if in_order else [3, 4]
    looks = np.column_stack((fields, *others, ensemble))[:, ranking]
    ranks, _ = harmonic(looks, counts[ranking])
    ranks = np.where(np.isnan(ranks), joined, ranks)
    by_kind = parts[:, :1] * opinions.by_kind / np.fmax(opinions.joined, 1e-9)[:, None]
    for look, kind in enumerate((*(KINDS.get(name, "point") for name in JOINED_LOOKS), "point"), 1):
        column = EVIDENCE.index(kind)
        by_kind[:, column] = np.fmax(by_kind[:, column], parts[:, look])
    return joined, ranked(ranks, evidence["value_novelty"], seen), by_kind, evidence, ready


@pytest.mark.parametrize("in_order", [True, False])
def test_an_alert_rests_on_all_looks_and_the_rank_on_those_that_rank(in_order):
    opinions, seen = opinions_of(600), np.arange(600)
    verdicts = Calibrators(MEMBERS, SETTINGS).calibrate(opinions, seen, in_order)
    joined, evidence, by_kind, members, ready = reference(opinions, seen, in_order)
    np.testing.assert_allclose(verdicts.joined, joined, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(verdicts.evidence, evidence, rtol=1e-9, atol=1e-12)
    known = ~np.isnan(opinions.joined)
    assert (verdicts.by_kind[known] >= by_kind[known] - 1e-9).all()  # two looks of one kind are more than one
    alone = ["contextual", "collective", "drift"]
    columns = [EVIDENCE.index(kind) for kind in alone]
    np.testing.assert_allclose(verdicts.by_kind[known][:, columns], by_kind[known][:, columns], rtol=1e-9, atol=1e-12)
    expected = np.column_stack([np.where(ready[name], members[name], np.nan) for name in NAMES])
    np.testing.assert_array_equal(verdicts.members, expected)
    counts = np.column_stack([ready[name] & (WEIGHTS.get(name, 1.0) > 0.0) for name in NAMES])
    everything = np.column_stack([members[name] for name in NAMES])
    np.testing.assert_array_equal(verdicts.disagreement, disagree(everything, counts))
    np.testing.assert_array_equal(verdicts.interval, interval(verdicts.evidence, everything, counts))


def test_alerts_on_several_fields_have_an_exponential_tail_once_it_is_known():
    n = TAIL_KNOWN + 300
    opinions = opinions_of(n, fields=np.random.default_rng(1).pareto(2.0, n))
    seen = np.full(n, 10**6)
    made = Calibrators(MEMBERS, SETTINGS)
    half = TAIL_KNOWN // 2
    parts = [made.calibrate(part(opinions, a, b), seen[a:b]) for a, b in ((0, half), (half, n - 100), (n - 100, n))]
    joined, evidence, *_ = reference(opinions, seen, True)
    np.testing.assert_allclose(np.concatenate([one.joined for one in parts]), joined, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.concatenate([one.evidence for one in parts]), evidence, rtol=1e-9, atol=1e-12)
    assert made.for_alerts.learned == n


def part(opinions, begin, end):
    fields = {name: getattr(opinions, name) for name in Opinions.__dataclass_fields__}
    arrays = {name: value[begin:end] for name, value in fields.items() if isinstance(value, np.ndarray)}
    return Opinions(**fields | arrays)


def test_where_only_a_look_that_does_not_rank_has_evidence_the_event_ranks_by_it():
    silent = dict.fromkeys(NAMES, math.nan)
    opinions = opinions_of(3, **silent | {"run": [5.0, 6.0, math.nan]})
    opinions.joined[:] = math.nan
    verdicts = Calibrators(MEMBERS, SETTINGS).calibrate(opinions, np.full(3, 100))
    assert verdicts.joined[:2].tolist() == verdicts.evidence[:2].tolist() == [5.0, 6.0]
    assert math.isnan(verdicts.joined[2])
    assert verdicts.evidence[2] == verdicts.strongest[2] == 0.0


@pytest.mark.parametrize("method", ["vote", "consensus"])
def test_another_way_to_combine_members_is_calibrated_but_has_no_lower_bound(method):
    opinions = opinions_of(600)
    made, again = Calibrators(MEMBERS, SETTINGS, method), TailCalibrator(MEMORY, WARMUP)
    _, _, combined, ensemble, _ = made.learn(opinions.raw_scores, opinions.canaries)
    np.testing.assert_array_equal(ensemble, again.rate_learn_many(combined.copy()))
