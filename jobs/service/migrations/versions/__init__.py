"""Migrations of the history's tables, oldest first."""
