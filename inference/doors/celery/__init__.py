"""The door for other applications' Celery: jobs and small predictions arrive as messages in queues.

We read the messages ourselves; Celery never runs them. Whatever a sender puts into their headers (task name, `link`,
`chain`, `chord`, `eta`, delivery tag) has no effect. Replies about jobs go to one of the sender's queues, and answers to
small predictions go to Celery's result backend.
"""
