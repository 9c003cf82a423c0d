"""DAVIS's measures in plain Python, pixel by pixel, written from definitions, and Ref-DAVIS's pictures of labels."""

import itertools
import math

VOID = 255


def plain_region(predicted, truth):
    both = either = 0
    for y in range(len(truth)):
        for x in range(len(truth[0])):
            both += bool(predicted[y][x] and truth[y][x])
            either += bool(predicted[y][x] or truth[y][x])
    return both / either if either else 1.0


def plain_contour(mask):
    """Pixels that differ from a neighbour to the right, below, or to the lower right, as far as there is one."""
    height, width = len(mask), len(mask[0])
    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if any(
            y + dy < height and x + dx < width and bool(mask[y + dy][x + dx]) != bool(mask[y][x])
            for dy, dx in ((0, 1), (1, 0), (1, 1))
        )
    ]


def plain_accuracy(predicted, truth):
    radius = math.ceil(0.008 * math.sqrt(len(truth) ** 2 + len(truth[0]) ** 2))
    found, true = plain_contour(predicted), plain_contour(truth)
    if not found or not true:
        return float(not found and not true)

    def share(pixels, others):
        right = sum(any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others) for y, x in pixels)
        return right / len(pixels)

    precision, recall = share(found, true), share(true, found)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def plain_merged(probabilities):
    """One annotator's picture of labels of a frame: probabilities [P][H][W] -> [H][W], 0 for the background.

    The background's probability is 0.1 everywhere, and one below 0.5 counts as 0.
    """
    height, width = len(probabilities[0]), len(probabilities[0][0])
    picture = [[0] * width for _ in range(height)]
    for y, x in itertools.product(range(height), range(width)):
        rivals = [0.1] + [each[y][x] if each[y][x] >= 0.5 else 0.0 for each in probabilities]
        picture[y][x] = rivals.index(max(rivals))
    return picture


def plain_unsupervised(pictures, palettes):
    """J and F of each true object: label pictures [F][H][W], palettes [F][H][W] with void -> two lists of G numbers."""

    def mask(picture, palette, index):
        return [
            [value == index and true != VOID for value, true in zip(*rows, strict=True)]
            for rows in zip(picture, palette, strict=True)
        ]

    def highest(frames):
        return max(value for frame in frames for row in frame for value in row if value != VOID)

    num_objects = highest(palettes[:1])
    num_labels = max(highest(pictures), num_objects)
    scores = {}
    for label, number in itertools.product(range(num_labels), range(num_objects)):
        pairs = [
            (mask(picture, palette, label + 1), mask(palette, palette, number + 1))
            for picture, palette in zip(pictures, palettes, strict=True)
        ]
        scores[label, number] = [
            math.fsum(measure(*pair) for pair in pairs) / len(pairs) for measure in (plain_region, plain_accuracy)
        ]
    best = max(
        itertools.permutations(range(num_labels), num_objects),
        key=lambda labels: sum(sum(scores[label, number]) for number, label in enumerate(labels)),
    )
    return tuple([scores[label, number][part] for number, label in enumerate(best)] for part in (0, 1))
