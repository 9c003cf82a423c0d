"""How masks of a video meet their truth: J and F of DAVIS (Perazzi et al., CVPR 2016), written from the definitions.

J, the region similarity, is intersection over union. F, the contour accuracy, is the harmonic mean of precision and
recall of contour pixels: one is right where the other contour has a pixel no farther than a tolerance.
"""

import cv2
import numpy as np

TOLERANCE = 0.008
"""How far a contour may be off, as a part of the picture's diagonal; rounded up to whole px."""


def region_similarity(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return J of each pair of masks: intersection over union, and 1 where both are empty.

    Args:
        predicted: [..., H, W] bool.
        truth: of the same shape.

    Returns:
        [...] float64 in 0..1.

    >>> region_similarity(np.array([[True, True, False]]), np.array([[False, True, True]])).item()
    0.3333333333333333
    """
    intersection, union = ((masks.sum(axis=(-2, -1))) for masks in (predicted & truth, predicted | truth))
    return np.where(union, intersection / np.maximum(union, 1), 1.0)


def contour_accuracy(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return F of each pair of masks: 1 where neither has a contour, and 0 where one alone has.

    Args:
        predicted: [..., H, W] bool.
        truth: of the same shape.

    Returns:
        [...] float64 in 0..1.
    """
    height, width = truth.shape[-2:]
    pairs = zip(predicted.reshape(-1, height, width), truth.reshape(-1, height, width), strict=True)
    return np.array([_contour_accuracy(*pair) for pair in pairs]).reshape(truth.shape[:-2])


def contour_accuracies(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return F of each of P masks with each of G true ones, as :func:`contour_accuracy` has it of pairs.

    Args:
        predicted: [P, H, W] bool.
        truth: [G, H, W] bool.

    Returns:
        [P, G] float64 in 0..1.
    """
    found, true = (np.stack([contour(mask) for mask in masks]) for masks in (predicted, truth))
    radius = tolerance_in_px(*truth.shape[-2:])
    near_found, near_true = (
        np.stack([_near(pixels, radius) if pixels.any() else pixels for pixels in contours])
        for contours in (found, true)
    )
    accuracies = np.empty((len(found), len(true)))
    for row, column in np.ndindex(accuracies.shape):
        accuracies[row, column] = _f(found[row], true[column], near_found[row], near_true[column])
    return accuracies


def contour(mask: np.ndarray) -> np.ndarray:
    """Mark the pixels of a mask [H, W] bool that differ from the one to the right, below, or to the lower right.

    The contour is so one pixel wide, and half a pixel up and left of the mask's border. Neighbours beyond the edge of
    the picture are none: a mask has no contour there.
    """
    found = np.zeros_like(mask)
    found[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    found[:-1] |= mask[:-1] != mask[1:]
    found[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return found


def tolerance_in_px(height: int, width: int) -> int:
    """Return how far a contour may be off in a picture of this size, px.

    >>> tolerance_in_px(480, 854)
    8
    """
    return int(np.ceil(TOLERANCE * np.hypot(height, width)))


def _contour_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    contours = contour(predicted), contour(truth)
    if not all(each.any() for each in contours):
        return float(not any(each.any() for each in contours))
    # Only what lies around the contours can be near one of them: a small shape takes a small part of the time.
    rows, columns = (np.flatnonzero((contours[0] | contours[1]).any(axis=axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    found, true = (each[window] for each in contours)
    radius = tolerance_in_px(*truth.shape)
    return _f(found, true, _near(found, radius), _near(true, radius))


def _f(found: np.ndarray, true: np.ndarray, near_found: np.ndarray, near_true: np.ndarray) -> float:
    """Return F of two contours, of which it is known what lies near them: four times [H, W] bool."""
    num_found, num_true = np.count_nonzero(found), np.count_nonzero(true)
    if not num_found or not num_true:
        return float(num_found == num_true)
    precision = np.count_nonzero(found & near_true) / num_found
    recall = np.count_nonzero(true & near_found) / num_true
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(pixels: np.ndarray, radius: int) -> np.ndarray:
    """Mark what lies in the disk of ``radius`` px around one of the pixels at least, [H, W] bool."""
    far = cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return far**2 < radius**2 + 0.5  # squares are whole numbers, but for float32's rounding
