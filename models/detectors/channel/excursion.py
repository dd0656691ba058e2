"""How rare an excursion is: a time in which a statistic that remembers stays beyond its usual values."""

from __future__ import annotations

import math

from streamgauge.models.calibration.learned_tail import TAIL_NUMBERS, learn_tail, prime_tail, tail_evidence
from streamgauge.models.kernel import kernel

# Numbers of an excursion: ideal evidence at its peak, 0 outside of one; excursions and events so far; the tail of the peaks.
PEAK, EXCURSIONS, EVENTS = range(3)
TAIL = 3
EXCURSION_NUMBERS = TAIL + TAIL_NUMBERS
AT_FIRST, RATE = 2.0, 0.05  # excursions that are assumed before any was seen, and their share of events
# An excursion of more evidence than `SUSPICIOUS` may be a fault that comes again: it is learned as if there had been `DOUBT` times as many.
SUSPICIOUS, DOUBT = 9.0, 10.0
HIGHER = 1.25  # a peak counts if it is this much higher than the one before it in its excursion
MOST_EVIDENCE = 40.0  # beyond, an excursion is as clear as it can be
LEAST_EVIDENCE = 6.0  # one that is not clear yet is no look: it would only make single events less clear
FORGETS = 50_000.0  # events after which all counts are halved


@kernel
def excursion_evidence(numbers, ideal, base, learn):  # type: ignore[no-untyped-def]
    """Evidence of a statistic that remembers: minus ln of the rate at which its excursions begin and come so far.

    A cumulative sum stays high for many events once it is high. So its excursions beyond `base` are counted, each once by its peak, and
    not its values. An event after the peak is no evidence: it only shows that the excursion is not over yet.

    Parameters
    ----------
    numbers : float64[EXCURSION_NUMBERS]
        Changed in place.
    ideal : float
        Ideal evidence of the statistic now.
    base : float
        Ideal evidence beyond which an excursion begins, more than 0.
    learn : bool

    Returns
    -------
    float
        At least 0.
    """
    tail = numbers[TAIL : TAIL + TAIL_NUMBERS]
    if tail[0] == 0.0:
        prime_tail(tail)
    rare = math.log((numbers[EVENTS] + AT_FIRST / RATE) / (numbers[EXCURSIONS] + AT_FIRST))
    rare = max(rare, 0.0)
    if learn:
        numbers[EVENTS] += 1.0
        if numbers[EVENTS] > FORGETS:
            numbers[EVENTS] *= 0.5
            numbers[EXCURSIONS] *= 0.5
    if ideal > base:
        if ideal < HIGHER * numbers[PEAK]:
            return 0.0
        numbers[PEAK] = ideal
        # All events, not only excursions, show what the tail is like.
        return rare + tail_evidence(ideal - base, tail[0], tail[1], tail[2], numbers[EVENTS])
    end_excursion(numbers, base, learn)
    return 0.0


@kernel
def end_excursion(numbers, base, learn):  # type: ignore[no-untyped-def]
    """Learn the peak of an excursion that is over."""
    if numbers[PEAK] <= 0.0:
        return
    if learn:
        peak, tail = numbers[PEAK] - base, numbers[TAIL : TAIL + TAIL_NUMBERS]
        rare = math.log((numbers[EVENTS] + AT_FIRST / RATE) / (numbers[EXCURSIONS] + AT_FIRST))
        found = rare + tail_evidence(peak, tail[0], tail[1], tail[2], numbers[EVENTS])
        learn_tail(tail, peak, numbers[EXCURSIONS] if found < SUSPICIOUS else DOUBT * (numbers[EXCURSIONS] + DOUBT))
        numbers[EXCURSIONS] += 1.0
    numbers[PEAK] = 0.0
