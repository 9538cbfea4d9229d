"""The example `clicks`: which offers would somebody click?

A DeepFM, the usual kind of model for this: each feature has a vector, whose products with those of the other features are added
up, and a small network reads all of them. Trained on invented clicks. Needs torch (on the CPU), and about a minute. Another
machine's training gives other weights, so `make_examples.py` leaves this example alone.

Run: python examples/clicks.py
"""

import json

import numpy as np
import torch
from networks import GraphBuilder
from onnx import helper
from saving import floats, save, texts
from torch import nn

TOPICS = ["art", "cooking", "fashion", "games", "garden", "music", "sport", "travel"]
ALIKE = [{"art", "music"}, {"cooking", "garden"}, {"games", "sport"}, {"fashion", "travel"}]
OLDER = {
    "garden": 1.0,
    "travel": 0.5,
    "games": -1.5,
    "music": -0.5,
}  # how much more each is clicked later in life
AGE, PRICE = (45.0, 17.0), (25.0, 14.0)  # mean and spread
WIDTH, HIDDEN, STEPS, BATCH, MEASURED = 8, 32, 3_000, 512, 20_000
GOLDEN_USERS, GOLDEN_CANDIDATES = 40, 10


class DeepFactors(nn.Module):
    """Rows are [age, price, likes, topic], the texts as numbers; 0 is a topic that is not known."""

    def __init__(self):
        super().__init__()
        known = len(TOPICS) + 1
        self.likes, self.topic = nn.Embedding(known, WIDTH), nn.Embedding(known, WIDTH)
        self.numbers = nn.Parameter(torch.randn(2, WIDTH) * 0.1)
        self.likes_alone, self.topic_alone = nn.Embedding(known, 1), nn.Embedding(known, 1)
        self.numbers_alone = nn.Linear(2, 1)
        self.first, self.second = nn.Linear(4 * WIDTH, HIDDEN), nn.Linear(HIDDEN, 1)
        for table in (self.likes, self.topic, self.likes_alone, self.topic_alone):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, numbers, codes):
        likes, topic = codes[:, 0], codes[:, 1]
        vectors = torch.cat(
            [
                numbers[:, :, None] * self.numbers,
                self.likes(likes)[:, None],
                self.topic(topic)[:, None],
            ],
            dim=1,
        )
        products = 0.5 * (vectors.sum(1) ** 2 - (vectors**2).sum(1)).sum(1, keepdim=True)
        alone = self.numbers_alone(numbers) + self.likes_alone(likes) + self.topic_alone(topic)
        deep = self.second(torch.relu(self.first(vectors.flatten(1))))
        return alone + products + deep


def make_clicks():
    torch.set_num_threads(1)
    torch.manual_seed(3)
    random, model = np.random.default_rng(3), DeepFactors()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=0.002)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        numbers, codes, clicks = _rows(random, BATCH)
        loss = nn.functional.binary_cross_entropy_with_logits(model(numbers, codes), clicks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    share = _share_in_order(model, random)
    print(f"{share:.1%} of pairs in the right order")
    save(
        "clicks",
        _graph(model),
        title="Offers to click",
        notes="Ranks offers for a user by how likely a click is, from the user's age and favourite topic, and each offer's topic "
        f"and price. A small DeepFM, trained on {STEPS * BATCH:,} clicks that a script invented: an example for trying out the "
        "product, not for real use. Of an offer that was clicked and one that was not, it puts the right one first in "
        f"{share:.0%} of cases; the rest is chance.",
        sample={
            "user": {"age": 34, "likes": "cooking"},
            "candidates": [
                {"topic": "games", "price": 20},
                {"topic": "cooking", "price": 15},
                {"topic": "garden", "price": 45},
            ],
        },
        files={"golden.jsonl": _golden_rows(np.random.default_rng(31))},
        task="ranking",
        task_config={},
        golden_metric="auc",
    )


def _logit(age, likes, topic, price):
    """How likely a click is: for the topic that is liked, or one like it, and for what is cheap, above all when young."""
    interest = 4.0 * (likes == topic) + 1.5 * (likes != topic and {likes, topic} in ALIKE)
    life = (age - AGE[0]) / AGE[1]
    return interest + OLDER.get(topic, 0) * life - (0.06 - 0.02 * life) * (price - PRICE[0]) - 1.5


def _someone(random):
    return round(random.uniform(18, 80)), str(random.choice(TOPICS))


def _offer(random):
    return str(random.choice(TOPICS)), round(float(np.clip(random.normal(*PRICE), 1, 90)), 2)


def _is_clicked(random, age, likes, topic, price):
    return random.uniform() < 1 / (1 + np.exp(-_logit(age, likes, topic, price)))


def _rows(random, count):
    numbers, codes, clicks = [], [], []
    for _ in range(count):
        (age, likes), (topic, price) = _someone(random), _offer(random)
        numbers.append([(age - AGE[0]) / AGE[1], (price - PRICE[0]) / PRICE[1]])
        known = [name if random.uniform() > 0.01 else "" for name in (likes, topic)]
        codes.append([TOPICS.index(name) + 1 if name else 0 for name in known])
        clicks.append([float(_is_clicked(random, age, likes, topic, price))])
    return torch.tensor(numbers, dtype=torch.float32), torch.tensor(codes), torch.tensor(clicks)


def _share_in_order(model, random):
    """Of a row that was clicked and one that was not, how often the first has the higher score."""
    numbers, codes, clicks = _rows(random, MEASURED)
    with torch.no_grad():
        scores = model(numbers, codes).ravel().numpy()
    ranks = np.empty(MEASURED)
    ranks[np.argsort(scores)] = np.arange(MEASURED)
    clicked = clicks.ravel().numpy() == 1
    count = clicked.sum()
    return float((ranks[clicked].sum() - count * (count - 1) / 2) / (count * (MEASURED - count)))


def _golden_rows(random):
    rows = []
    while len(rows) < GOLDEN_USERS:
        age, likes = _someone(random)
        offers = [_offer(random) for _ in range(GOLDEN_CANDIDATES)]
        label = [int(_is_clicked(random, age, likes, *offer)) for offer in offers]
        if 0 < sum(label) < len(label):
            candidates = [{"topic": topic, "price": price} for topic, price in offers]
            rows.append(
                {"inputs": {"user": {"age": age, "likes": likes}, "candidates": candidates}, "label": label}
            )
    return "".join(json.dumps(row) + "\n" for row in rows)


def _graph(model):
    builder = GraphBuilder()
    add, constant = builder.add, builder.constant

    def weight(tensor):
        return constant(tensor.detach().numpy().astype(np.float32))

    def code(name):
        found = f"{name}_code"
        builder.nodes.append(
            helper.make_node(
                "LabelEncoder", [name], [found], domain="ai.onnx.ml",
                keys_strings=TOPICS, values_int64s=[*range(1, len(TOPICS) + 1)], default_int64=0,
            )
        )  # fmt: skip
        return found

    both = add("Concat", "age", "price", axis=1)
    middle, spread = (constant(np.array([pair], np.float32)) for pair in zip(AGE, PRICE, strict=True))
    numbers = add("Div", add("Sub", both, middle), spread)
    likes, topic = code("likes"), code("topic")
    last, ones = constant(np.array([2])), constant(np.array([1]))
    of_numbers = add("Mul", add("Unsqueeze", numbers, last), weight(model.numbers))
    of_texts = [
        add("Gather", weight(table.weight), at) for table, at in ((model.likes, likes), (model.topic, topic))
    ]
    vectors = add("Concat", of_numbers, *of_texts, axis=1)
    sums = add("ReduceSum", vectors, ones, keepdims=0)
    squares = add("ReduceSum", add("Mul", vectors, vectors), ones, keepdims=0)
    halves = add("Mul", add("Sub", add("Mul", sums, sums), squares), constant(np.float32(0.5)))
    terms = [
        add("ReduceSum", halves, ones, keepdims=1),
        _linear(add, weight, numbers, model.numbers_alone),
        *(
            add("Squeeze", add("Gather", weight(table.weight), at), last)
            for table, at in ((model.likes_alone, likes), (model.topic_alone, topic))
        ),
        _linear(
            add, weight, add("Relu", _linear(add, weight, add("Flatten", vectors), model.first)), model.second
        ),
    ]
    total = terms[0]
    for term in terms[1:]:
        total = add("Add", total, term)
    inputs = [
        floats("age", "rows", 1),
        texts("likes", "rows", 1),
        texts("topic", "rows", 1),
        floats("price", "rows", 1),
    ]
    return builder.finish("clicks", total, inputs, [floats("logit", "rows", 1)])


def _linear(add, weight, source, layer):
    return add("Gemm", source, weight(layer.weight), weight(layer.bias), transB=1)


if __name__ == "__main__":
    make_clicks()
