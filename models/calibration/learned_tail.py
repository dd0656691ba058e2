"""How rare a statistic is: its ideal distribution first, then what was learned of the real one."""

from __future__ import annotations

import math

from streamgauge.models.kernel import kernel

# Three quantiles of the ideal evidence are learned, with these shares above them: 10 %, 3.16 % and 1 %.
Q1, Q2, Q3 = range(3)
TAIL_NUMBERS = 3  # float64 numbers of a tail
RATIO = math.sqrt(10.0)
STEP = math.log(RATIO)  # evidence between two of the quantiles
FIRST, LAST = math.log(10.0), math.log(100.0)  # evidence at the first quantile and at the last
HEAVIER = 1.5  # at first, a tail is taken to be heavier than ideal by this factor
MEMORY = 4000.0  # values after which old ones count less
TRUSTED = 500.0  # values after which the learned shape of the tail counts half
UNKNOWN_SHAPE = 0.4  # shape of a tail of which nothing is known
STEEPEST = 1.0  # largest learned shape
FADES = 0.8  # share of a run's length that is left after a value that is not far out
LOUD = 200.0  # above this ideal evidence, only its logarithm counts: no single value moves the quantiles far


@kernel
def ideal_evidence(z, freedom):  # type: ignore[no-untyped-def]
    """Minus ln of the probability that Student's t is as far from 0 as `z`, compressed above `LOUD`.

    Wallace's approximation of t by a normal variable (Wallace, Annals of Mathematical Statistics 30, 1959).
    """
    z = min(abs(z), 1e9)
    g = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
    z = g * math.sqrt(freedom * math.log1p(z * z / freedom))
    if z < 5.0:
        evidence = -math.log(math.erfc(z / math.sqrt(2.0)))
    else:
        evidence = 0.5 * z * z + math.log(z) + 0.2257913526447274 - math.log1p(-1.0 / (z * z))
    return evidence if evidence <= LOUD else LOUD * (1.0 + math.log(evidence / LOUD))


@kernel
def prime_tail(tail):  # type: ignore[no-untyped-def]
    """Begin with a tail that is heavier than the ideal one."""
    tail[Q1], tail[Q2], tail[Q3] = HEAVIER * FIRST, HEAVIER * (FIRST + STEP), HEAVIER * LAST


@kernel
def tail_evidence(ideal, q1, q2, q3, learned):  # type: ignore[no-untyped-def]
    """Evidence of an ideal evidence by the learned quantiles.

    Between quantiles it is interpolated. Beyond the last one, the tail is a generalised Pareto distribution. Its scale and shape follow
    from the distances of the quantiles (Pickands, Annals of Statistics 3, 1975). The shape is larger where fewer values are known.
    """
    if ideal <= q1:
        return ideal * FIRST / q1
    if ideal <= q2:
        return FIRST + STEP * (ideal - q1) / (q2 - q1)
    if ideal <= q3:
        return FIRST + STEP + STEP * (ideal - q2) / (q3 - q2)
    weight = learned / (learned + TRUSTED)
    shape = min(max(math.log((q3 - q2) / (q2 - q1)) / STEP * weight, 0.0), STEEPEST)
    shape += UNKNOWN_SHAPE * (1.0 - weight) + 1.0 / (5.0 + 0.01 * min(learned, MEMORY))
    growth = RATIO**shape
    scale = (q3 - q2) * shape * growth / (growth - 1.0)
    return LAST + math.log1p(shape * (ideal - q3) / scale) / shape


@kernel
def weight_in_run(runs, k, is_far):  # type: ignore[no-untyped-def]
    """Weight of a value where it is learned: the n-th far value in a row counts 1 / sqrt(n), any other value 1.

    A fault that lasts is one episode. If each of its values counted, it would look usual long before it ends (Leadbetter, Extremes and
    local dependence, 1983). `runs[k]` is how long the run is; it fades, so that single usual values do not end a run.
    """
    if not is_far:
        runs[k] *= FADES
        return 1.0
    runs[k] += 1.0
    return 1.0 / math.sqrt(runs[k])


@kernel
def learn_tail(tail, ideal, learned, weight=1.0):  # type: ignore[no-untyped-def]
    """Move the quantiles towards a new ideal evidence (stochastic approximation: Robbins and Monro 1951)."""
    step = weight * 3.0 / min(learned + 30.0, MEMORY)
    q1, q2, q3 = tail[Q1], tail[Q2], tail[Q3]
    q1 += step * max(0.7 * q1, 0.3) * (0.9 if ideal > q1 else -0.1)
    q2 += 3.0 * step * max(tail[Q2] - tail[Q1], 0.2 * tail[Q1]) * (0.9684 if ideal > q2 else -0.0316)
    q3 += 9.0 * step * max(tail[Q3] - tail[Q2], 0.2 * tail[Q1]) * (0.99 if ideal > q3 else -0.01)
    tail[Q1] = max(q1, 0.5)
    tail[Q2] = max(q2, tail[Q1] + 0.1)
    tail[Q3] = max(q3, tail[Q2] + 0.1)
