"""Asks Roundhouse with the client that openapi-python-client made of its description; prints what was found, as JSON."""

import json
import os
import sys

from roundhouse_client import AuthenticatedClient
from roundhouse_client.api.models import list_models
from roundhouse_client.api.predictions import model_schema, predict, predict_alias, predict_version
from roundhouse_client.models import (
    PredictDataRequest,
    PredictFeaturesRequest,
    PredictRowsRequest,
    PredictTensorsRequest,
    PredictTensorsRequestInputs,
)

ROW = [0.21, 0.79, 0.31]
client = AuthenticatedClient(os.environ["ROUNDHOUSE_URL"], token=os.environ["ROUNDHOUSE_KEY"])
stranger = AuthenticatedClient(os.environ["ROUNDHOUSE_URL"], token="rh_no_body")


def tensors(rows):
    return PredictTensorsRequest(PredictTensorsRequestInputs.from_dict({"features": rows}))


ANSWERS = {
    "tensors": predict.sync("ripeness", client=client, body=tensors([ROW])),
    "rows": predict.sync(
        "ripeness", client=client, body=PredictRowsRequest([ROW]), x_routing_key="customer-42"
    ),
    "features": predict.sync("ripeness", client=client, body=PredictFeaturesRequest(ROW), x_deadline_ms=1000),
    "data": predict.sync("ripeness", client=client, body=PredictDataRequest(ROW)),
    "dry-run": predict.sync("ripeness", client=client, body=PredictFeaturesRequest(ROW), dry_run=True),
    "version": predict_version.sync("ripeness", 1, client=client, body=PredictFeaturesRequest(ROW)),
    "alias": predict_alias.sync("ripeness", "champion", client=client, body=PredictFeaturesRequest(ROW)),
    "wrong-shape": predict.sync("ripeness", client=client, body=tensors([ROW[:2]])),
    "unknown-model": predict.sync("no-such-model", client=client, body=tensors([ROW])),
    "no-key": predict.sync("ripeness", client=stranger, body=tensors([ROW])),
    "schema": model_schema.sync("ripeness", client=client),
    "models": list_models.sync(client=client),
}
json.dump({name: [type(said).__name__, said.to_dict()] for name, said in ANSWERS.items()}, sys.stdout)
