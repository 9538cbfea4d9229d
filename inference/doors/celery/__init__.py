"""Small predictions through Celery's result backend, for applications that have Celery and nothing else."""
