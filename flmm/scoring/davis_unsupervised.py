"""J and F of DAVIS 2017's unsupervised task (Caelles et al., arXiv 1905.00737), by which Ref-DAVIS is scored too.

What is predicted are pictures of labels, of which nothing says which object they mean: labels are matched to objects as
is best for the score.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from flmm.scoring.region_and_contour import contour_accuracies


class LabelledVideo:
    """The scores of pictures of labels of a video, taken frame by frame, so that none has to be kept.

    Several pictures of a frame, such as one for each annotator, are matched each by themselves.

    Args:
        num_pictures: A, how many pictures of labels a frame has.
        num_labels: P, the highest label.
        num_objects: G, the highest true object.

    >>> video = LabelledVideo(num_pictures=1, num_labels=2, num_objects=2)
    >>> video.add(np.array([[[1, 1, 2, 0]]]), np.array([[2, 2, 1, 1]]), ignored=np.zeros((1, 4), dtype=bool))
    >>> video.scores()[0].tolist()
    [[0.5, 1.0]]
    """

    def __init__(self, *, num_pictures: int, num_labels: int, num_objects: int) -> None:
        self.num_objects = num_objects
        # A video with fewer labels than objects has empty masks for the others.
        self.num_labels = max(num_labels, num_objects)
        self.last_label = np.zeros(num_pictures, dtype=int)
        self.frames: list[np.ndarray] = []  # [2, A, P, G] each: J and F

    def add(self, labels: np.ndarray, objects: np.ndarray, *, ignored: np.ndarray) -> None:
        """Score a frame.

        Args:
            labels: [A, H, W] int, 0 where there is none.
            objects: [H, W] int, 0 for the background; those above G are background too.
            ignored: [H, W] bool, pixels that belong to no mask, neither of a label nor of an object.
        """
        self.last_label = np.maximum(self.last_label, labels.max(axis=(1, 2)))
        truth = _masks(np.where(ignored, 0, objects), self.num_objects)  # [G, H, W]
        masks = _masks(np.where(ignored, 0, labels), self.num_labels)  # [A, P, H, W]
        flat = masks.reshape(-1, *objects.shape)  # [A * P, H, W]
        scores = np.stack([_regions(flat, truth), contour_accuracies(flat, truth)])
        self.frames.append(scores.reshape(2, *masks.shape[:2], self.num_objects))

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Return J and F of each true object, [A, G] float64 each: means over all frames, of the label matched to it.

        The assignment has the largest sum of (J + F) / 2. Labels above the last one that has a pixel in the video take
        no part in it, unless there are fewer than objects.
        """
        region, contour = np.mean(self.frames, axis=0)  # [A, P, G] each
        best = np.empty((2, *region.shape[::2]))
        for picture, last in enumerate(self.last_label):
            used = slice(max(int(last), self.num_objects))
            each = np.stack([region[picture, used], contour[picture, used]])  # [2, P, G]
            label, matched = linear_sum_assignment(each.mean(axis=0), maximize=True)
            best[:, picture, matched] = each[:, label, matched]
        return best[0], best[1]


def _masks(picture: np.ndarray, number: int) -> np.ndarray:
    """Return the masks of the indices 1 to ``number``: [..., H, W] int -> [..., number, H, W] bool."""
    return picture[..., None, :, :] == np.arange(1, number + 1)[:, None, None]


def _regions(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return J of each of P masks [P, H, W] with each of G true ones [G, H, W], 1 where both are empty: [P, G]."""
    areas, true_areas = predicted.sum(axis=(1, 2)), truth.sum(axis=(1, 2))
    intersection = np.array([(predicted & mask).sum(axis=(1, 2)) for mask in truth]).T  # [P, G]
    union = areas[:, None] + true_areas - intersection
    return np.where(union, intersection / np.maximum(union, 1), 1.0)
