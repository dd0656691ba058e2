"""What people and programs write to the job while it runs: control messages and feedback.

In: control messages and feedback, as text.
Out: the thresholds, rules, weights and versions in force; answers to requests about an entity.
"""
