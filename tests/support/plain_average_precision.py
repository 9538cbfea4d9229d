"""Mean average precision written as its definition reads, one box at a time."""


def plain_mean_precision(pictures, thresholds):
    """`pictures`: (expected, got) of each, as lists of boxes with `label`, `corners` and `confidence`."""
    labels = sorted({box.label for expected, _ in pictures for box in expected})
    if not labels:
        return 0.0 if any(got for _, got in pictures) else 1.0
    values = [_precision_of(label, pictures, threshold) for label in labels for threshold in thresholds]
    return sum(values) / len(values)


def _precision_of(label, pictures, threshold):
    judged, total = [], 0
    for expected, got in pictures:
        free = [box for box in expected if box.label == label]
        total += len(free)
        found = sorted((box for box in got if box.label == label), key=lambda box: -box.confidence)
        for box in found[:100]:
            best = None
            for other in free:
                overlap = plain_overlap(box.corners, other.corners)
                if overlap >= threshold and (
                    best is None or overlap >= plain_overlap(box.corners, best.corners)
                ):
                    best = other
            judged.append((box.confidence, best is not None))
            free = [other for other in free if other is not best]
    judged.sort(key=lambda one: -one[0])
    points, right = [], 0
    for number, (_, is_right) in enumerate(judged, start=1):
        right += is_right
        points.append((right / total, right / number))
    best_at = [
        max((precision for recall, precision in points if recall >= step / 100), default=0.0)
        for step in range(101)
    ]
    return sum(best_at) / 101


def plain_overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)
