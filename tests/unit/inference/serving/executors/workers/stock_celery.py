"""A Celery application that knows nothing of Roundhouse but a task's name, and hands on what it is called with."""

import json
import os

import redis
from celery import Celery

BROKER = os.environ["STOCK_BROKER"]
app = Celery("stock", broker=BROKER)
app.conf.broker_transport_options = {"global_keyprefix": os.environ["STOCK_PREFIX"]}


@app.task(name="inference.run_batch")
def run_batch(*args, **kwargs):
    with redis.Redis.from_url(BROKER) as client:
        client.rpush("heard", json.dumps([args, kwargs]))
