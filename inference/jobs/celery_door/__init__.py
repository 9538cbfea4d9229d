"""The door for other applications' Celery: orders come as messages of a queue, ends of jobs go to the sender's queue.

Messages here are read by us and never run by Celery: what a stranger puts into their headers (a task's name, `link`,
`chain`, `chord`, `eta`, a delivery tag) decides nothing. They travel beside our own queues, not through them.
"""
