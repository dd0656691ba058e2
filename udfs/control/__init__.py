"""What people and programs say while the job runs.

In: control messages and feedback, as text.
Out: the thresholds, rules, weights and versions in force; answers to requests about an entity.
"""
