"""The programs: the job, the trainer, the command line, and the code that only they need.

In: settings, files, topics.
Out: a running job, messages on topics, pages and tables.
"""
