"""Migrations of the history's tables.

In: a connection to the database.
Out: tables of the newest version.
"""
