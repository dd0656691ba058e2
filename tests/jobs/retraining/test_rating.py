"""Costs are measured in turn, as CPU time of this process."""

from __future__ import annotations

from streamgauge.jobs.retraining.rating import ROUNDS, side_by_side


def test_jobs_run_in_turn_and_a_missing_job_has_no_cost():
    order = []
    costs = side_by_side([lambda: order.append("a"), None, lambda: order.append("b")])
    assert order == ["a", "b"] * ROUNDS
    assert costs[1] is None
    assert all(cost is not None and cost >= 0 for cost in (costs[0], costs[2]))


def test_ten_times_the_work_costs_more_than_three_times_as_much():
    once, more = side_by_side([lambda: sum(range(100_000)), lambda: sum(range(1_000_000))])
    assert more > 3 * once
