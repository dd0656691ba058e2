"""Costs are measured in turn, as CPU time of this process."""

from __future__ import annotations

from streamgauge.jobs.retraining.rating import ROUNDS, side_by_side


def test_jobs_run_in_turn():
    order = []
    costs = side_by_side([lambda: order.append("a"), lambda: order.append("b")])
    assert order == ["a", "b"] * ROUNDS
    assert all(cost >= 0 for cost in costs)


def test_ten_times_the_work_costs_more_than_three_times_as_much():
    once, more = side_by_side([lambda: sum(range(100_000)), lambda: sum(range(1_000_000))])
    assert more > 3 * once
