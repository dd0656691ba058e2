"""What can be started: the job, the trainer, the command line, and what they need.

In: settings, files, topics.
Out: a running job, messages on topics, pages and tables.
"""
