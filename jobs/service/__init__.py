"""The service `streamgauge serve`: history of alerts, HTTP API, and page.

In: the topics of alerts, notices and feedback, and of scores if there are any.
Out: tables in SQLite or PostgreSQL, answers over HTTP, and feedback on its topic.
"""
