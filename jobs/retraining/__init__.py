"""The parts of the trainer, in the order of a request: topics, reports and waits, candidates, roles, the judge of shadows; its metrics.

In: requests to retrain, comparisons and feedback from the topics of the job; versions and aliases of the registry.
Out: trained versions, aliases, messages that give versions their roles, notices of each step, metrics.
"""
