"""What anomalous events did: the field to blame, how far it is from its expected value, and whether it is only back to normal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints, Kind
from streamgauge.udfs.incidents.kinds import KINDS
from streamgauge.udfs.scoring.attribution import expected, shares
from streamgauge.udfs.scoring.calibrate import SHADOW
from streamgauge.udfs.scoring.opinions import EVIDENCE
from streamgauge.udfs.scoring.scorer import Scored

TO_BLAME = 0.25  # a field is to blame if its share in the event is at least this, or the largest
# If fields that never varied have at least this share in an event, its size is not known: they have no usual variation.
MOST_OF_IT = 0.5
# A value is usual if at least one value in 100 is as far from the middle.
USUAL = math.log(100.0)
# A value is odd if at most one in 500 is as far from the middle, with one field.
ODD = math.log(500.0)
# The channels that look at a value only, and not at those before it: at any time, and at this time.
ALWAYS, NOW = "level", "time of day"
TENFOLD = math.log(10.0)  # evidence for ten times rarer
# Members whose evidence does not count for alerts, so they cannot open an incident.
RANKS_ONLY = "value_novelty"


NEARLY_NOTHING = 0.01  # of the expected value: what is left of a field that has dropped to nothing
CLEAR = 3.0  # usual variations from which on a field is clearly above or below its expected value
NO_SIZE = 0.25  # usual variations below which a deviation is none


@dataclass(frozen=True, slots=True)
class Effects:
    """What each anomalous event did; the zero or NaN of each attribute for all other events.

    Attributes
    ----------
    fields : int64[n]
        Number of the field with the largest share: a numeric field's place plus 1, and the same with a minus sign for a text field, so that
        the number stays as it is when fields are added. 0 is unknown.
    sides : int64[n]
        1 where this field is clearly above its expected value, -1 where it is clearly below, else 0.
    sizes : float64[n]
        Deviation of this field from its expected value, in usual variations; NaN is unknown.
    relative : float64[n]
        The same deviation, relative to the expected value; NaN is unknown.
    nothing_left : bool[n]
        Whether this field has dropped to nothing, or nearly so.
    steady : bool[n]
        Whether the event is the change of fields that never varied before.
    usual_level : bool[n]
        Whether the values of the fields to blame are usual, at any time and at this time: the event is anomalous only by its difference
        from those before it.
    odd : bool[n]
        Whether a value of the event is odd; of all events, also of those that are not anomalous.
    """

    fields: Ints
    sides: Ints
    sizes: Floats
    relative: Floats
    nothing_left: Flags
    steady: Flags
    usual_level: Flags
    odd: Flags


def look_of(scored: Scored, channel: str) -> Floats:
    """Evidence of a channel for each field, float64[n, d]; NaN where it cannot judge, or is not used."""
    names, looks = scored.opinions.names, scored.opinions.looks
    return looks[:, :, names.index(channel)] if channel in names else np.full(looks.shape[:2], np.nan)


def usual_values(scored: Scored, place: int) -> Flags:
    """Whether each value of the event at a place is usual for its entity, whatever the time, bool[d]."""
    look = look_of(scored, ALWAYS)[place]
    usual: Flags = np.where(np.isnan(look), scored.usual[place], look < USUAL)
    return usual


def effects_of(scored: Scored, X: Floats, anomalous: Flags, evidence_needed: Floats) -> Effects:
    """Find what anomalous events did.

    Parameters
    ----------
    scored : Scored
    X : float64[n, d]
        Values; NaN is missing.
    anomalous : bool[n]
        The events to look at.
    evidence_needed : float64[n]
        Evidence at the threshold of each event.
    """
    n, d = X.shape
    opinions = scored.opinions
    no = np.zeros(n, np.bool_)
    found = Effects(
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.full(n, np.nan),
        np.full(n, np.nan),
        no,
        no.copy(),
        no.copy(),
        scored.steady.any(axis=1) | (look_of(scored, ALWAYS) >= ODD + math.log(max(d, 1))).any(axis=1),
    )
    for i in np.flatnonzero(anomalous).tolist():  # one by one: anomalous events are few
        share = shares(i, d, opinions.categories.shape[1], opinions, scored.verdicts)
        if not share.any():
            continue
        blamed = int(share.argmax())
        found.fields[i] = blamed + 1 if blamed < d else d - blamed - 1
        found.steady[i] = share[:d][scored.steady[i]].sum() >= MOST_OF_IT
        to_blame = np.flatnonzero(share >= min(TO_BLAME, float(share.max())))
        if blamed < d:
            usual, variation = expected(i, d, opinions)[blamed], scored.variations[i, blamed]
            _measure(found, i, float(X[i, blamed]), float(usual), float(variation))
        if to_blame.max() < d:
            quiet = math.inf if found.sizes[i] < NO_SIZE else float(evidence_needed[i]) - TENFOLD
            found.usual_level[i] = _is_usual(scored, i, to_blame, float(evidence_needed[i]), quiet)
    return found


def _is_usual(scored: Scored, i: int, to_blame: Ints, evidence_needed: float, quiet: float) -> bool:
    """Whether the values of these fields are usual, at any time and now, and no other kind of anomaly was found.

    `quiet` is the evidence below which a value is usual now.
    """
    now, by_kind = (
        look_of(scored, NOW)[i, to_blame],
        dict(zip(EVIDENCE, scored.verdicts.by_kind[i].tolist(), strict=True)),
    )
    # What the time of day says is asked of its channel, because the evidence of the kind may be of the values before.
    others = {"point"} if np.isnan(now).all() else {"point", "contextual"}
    if max(evidence for kind, evidence in by_kind.items() if kind not in others) >= evidence_needed:
        return False
    return bool(usual_values(scored, i)[to_blame].all()) and not (now >= quiet).any()


def _measure(found: Effects, i: int, actual: float, usual: float, variation: float) -> None:
    """Fill in how far a value is from its expected value."""
    deviation = actual - usual
    if math.isnan(deviation):
        return
    found.sizes[i] = abs(deviation) / variation
    found.sides[i] = 0 if found.sizes[i] < CLEAR else np.sign(deviation)
    if usual != 0.0:
        found.relative[i] = abs(deviation / usual)
    elif deviation != 0.0:
        found.relative[i] = math.inf
    is_clear = found.sizes[i] >= CLEAR or (found.steady[i] and math.isnan(variation))
    found.nothing_left[i] = usual != 0.0 and abs(actual) <= NEARLY_NOTHING * abs(usual) and is_clear


def first_to_speak(scored: Scored, kinds_of_members: list[Kind], kinds: Ints, anomalous: Flags) -> Ints:
    """Find the member with the most evidence for the kind of each anomalous event.

    Channels come first: other members count only where no channel has evidence of the kind.

    Parameters
    ----------
    scored : Scored
    kinds_of_members : list of str
        The kind of anomaly that each member looks for.
    kinds : int64[n]
        Kind of incident that each event would be; codes of `kinds`.
    anomalous : bool[n]
        The events to look at.

    Returns
    -------
    int64[n]
        Place of the member, plus 1; 0 where the kind is that of no member.
    """
    found = np.zeros(len(kinds), np.int64)
    if not anomalous.any():
        return found
    names, channels = scored.opinions.names, scored.opinions.looks.shape[2]
    speaks = np.array([not (name.endswith(SHADOW) or name == RANKS_ONLY) for name in names])
    is_channel = np.arange(len(names)) < channels
    of_kind = {code: speaks & np.array([k == kind for k in kinds_of_members]) for code, kind in KINDS.items()}
    for i in np.flatnonzero(anomalous).tolist():
        evidence = np.nan_to_num(scored.verdicts.members[i])
        for candidates in (of_kind[int(kinds[i])] & is_channel, of_kind[int(kinds[i])]):
            strength = np.where(candidates, evidence, 0.0)
            if strength.max(initial=0.0) > 0.0:
                found[i] = strength.argmax() + 1
                break
    return found
