"""The settings of a selection of patches, described and checked once for all who take them."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real

from flmm.apt.importance import check_importance_settings
from flmm.apt.layout import SIZES

SELECTION_METHODS = ('none', 'v1', 'v2', 'budget')

# Entropy is the yardstick: the others make about as many of the complete patches of photographs coarse. Measured on
# the colour photos that come with scikit-image (astronaut, chelsea, coffee, rocket, motorcycle_left) at half, full and
# twice their size (bicubic). Mean share over the 15 pictures, of patches below the threshold, before larger ones win:
#                       28 px   56 px      32 px   64 px
#   entropy              5.9 %   0.7 %      5.3 %   0.6 %
#   laplacian, mean      6.1 %   0.8 %      6.0 %   0.8 %
#   laplacian, max       5.4 %   0.8 %      4.9 %   0.6 %
#   laplacian, std       6.1 %   0.8 %      6.0 %   0.8 %
#   upsample_mse         5.6 %   0.5 %      5.5 %   0.5 %
# They were set at a patch size of 14 px and hold at 16. Further off they part: of the patches of twice the patch size,
# entropy makes 11 % coarse and the others 7 to 9 % where that is 8 px, 1 % and 2 to 5 % where it is 32 px.
# A blur leaves entropy's shares as they are (5.4 and 0.6 % at 5 px) and raises the others', as it is meant to: what is
# noise no longer counts (laplacian, mean, at 5 px: 33 and 17 %; upsample_mse: 21 and 9 %).
DEFAULT_THRESHOLDS = {
    ('entropy', None): (3.0, 2.0),
    ('laplacian', 'mean'): (1.0, 0.5),
    ('laplacian', 'max'): (4.0, 3.3),
    ('laplacian', 'std'): (1.3, 0.8),
    ('upsample_mse', None): (0.1, 0.1),
}
"""For each method and aggregate the thresholds of 'v1', for patches of twice and of four times the patch size.

They were set on patches of 28 and 56 px. Bits, grey levels and squared grey levels don't scale with the area of a
patch, so other patch sizes get the same numbers.
"""


@dataclass(kw_only=True, frozen=True)
class PatchSelection:
    """Which patches of an image are read coarsely.

    Args:
        patch_selection_method: 'none' reads all patches as they are. 'v1' has fixed ``thresholds``. 'v2' has a
            threshold that follows from the image. 'budget' keeps a share of the dense patches. See
            ``flmm.apt.selection``.
        alpha: for 'budget' the share to keep, in (0, 1]; for 'v2' the factor of the threshold, at least 0. 'v1' and
            'none' don't use it.
        thresholds: for 'v1', of patches of twice and of four times the patch size (28 and 56 px in Qwen2-VL), in the
            unit of the measure. None takes those of ``DEFAULT_THRESHOLDS``, which were set on 28 and 56 px and are the
            same for any patch size.
        method: what importance is: 'entropy', 'laplacian' or 'upsample_mse'. See ``flmm.apt.importance``.
        laplacian_aggregate: what stands for a patch under 'laplacian': 'mean', 'max' or 'std'.
        blur: side in px of the box that smooths the image before importance is measured, odd; 1 smooths nothing.
        max_token_size: the largest token, in units: 4 or 2, or 1 for none that is coarse.

    Raises:
        ValueError: a setting outside of what is allowed.

    >>> selection = PatchSelection(patch_selection_method='budget', alpha=0.3, method='laplacian', blur=5)
    """

    patch_selection_method: str = 'v1'
    alpha: float = 1.0
    thresholds: tuple[float, float] | None = None
    method: str = 'entropy'
    laplacian_aggregate: str = 'mean'
    blur: int = 1
    max_token_size: int = 4

    def __post_init__(self) -> None:
        how, alpha = self.patch_selection_method, self.alpha
        thresholds, largest = self.thresholds, self.max_token_size
        if not isinstance(how, str) or how not in SELECTION_METHODS:
            raise ValueError(f'patch_selection_method is {how!r}, expected one of {SELECTION_METHODS}')
        is_number = _is_number(alpha)
        if how == 'budget' and not (is_number and 0 < alpha <= 1):
            raise ValueError(f'alpha is {alpha!r}, expected a share of the dense patches in (0, 1] for the budget')
        if how == 'v2' and not (is_number and 0 <= alpha < math.inf):
            raise ValueError(f'alpha is {alpha!r}, expected a finite factor of the mean importance, at least 0, for v2')
        if not is_number:
            raise ValueError(f'alpha is {alpha!r}, expected a number')
        if how in ('none', 'v1') and alpha != 1.0:
            warnings.warn(
                f"alpha is {alpha}, but patch_selection_method {how!r} does not use it; 'v2' and 'budget' do",
                UserWarning,
                stacklevel=3,  # who calls the generated __init__
            )
        check_importance_settings(method=self.method, laplacian_aggregate=self.laplacian_aggregate, blur=self.blur)
        if thresholds is not None:
            two = isinstance(thresholds, Sequence) and len(thresholds) == 2 and all(map(_is_number, thresholds))
            if not two or not all(threshold > 0 for threshold in thresholds):
                raise ValueError(
                    f'thresholds are {thresholds}, expected two positive numbers: for patches of 28 and of 56 px '
                    '(twice and four times patch_size)'
                )
            thresholds = tuple(map(float, thresholds))
        if not isinstance(largest, Integral) or isinstance(largest, bool) or largest not in SIZES:
            raise ValueError(f'max_token_size is {largest!r}, expected one of {SIZES}')
        # Plain numbers, whatever they were given as: numpy's cannot be saved.
        for name, value in (('alpha', float(alpha)), ('thresholds', thresholds), ('max_token_size', int(largest))):
            object.__setattr__(self, name, value)

    @property
    def v1_thresholds(self) -> tuple[float, float]:
        """What 'v1' compares importance with: ``thresholds``, or the default ones of the measure."""
        if self.thresholds is not None:
            return self.thresholds
        return DEFAULT_THRESHOLDS[self.method, self.laplacian_aggregate if self.method == 'laplacian' else None]


SETTINGS = {field.name: field.default for field in fields(PatchSelection)}
"""The names of what can be set, and the defaults."""


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
