"""All settings of a job.

In: a YAML file and the environment.
Out: one frozen `Settings`; the JSON Schemas of what people write.
"""
