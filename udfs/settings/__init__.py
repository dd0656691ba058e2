"""The settings that decide about scores and alerts.

In: plain values, from a file or a message.
Out: frozen, validated sections; an error names key, value and what is allowed.
"""
