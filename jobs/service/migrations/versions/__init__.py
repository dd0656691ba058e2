"""The steps from one version of the tables to the next, oldest first.

In: tables of the version before.
Out: tables of the version that the step names.
"""
