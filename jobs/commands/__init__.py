"""The command line: one file a family of commands, each a thin wrapper.

In: what a user types.
Out: tables, pages or JSON; an exit code.
"""
