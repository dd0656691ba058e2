"""A Flink cluster: a local one, and any other through its REST interface.

In: settings and a folder for state.
Out: running processes, submitted jobs, the results of checks.
"""
