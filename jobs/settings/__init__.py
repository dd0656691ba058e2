"""All settings of a job.

In: a YAML file and the environment.
Out: one frozen `Settings`; JSON Schemas of settings, control messages and feedback.
"""
