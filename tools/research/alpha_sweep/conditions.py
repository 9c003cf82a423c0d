"""What the sweep compares: ways to give the model fewer image tokens."""

from dataclasses import dataclass, field, replace
from typing import Any

ALPHAS = (0.5, 0.3, 0.2, 0.1)


def _measure(method: str, *, aggregate: str = 'mean', blur: int = 1) -> dict[str, Any]:
    return {'method': method, 'laplacian_aggregate': aggregate, 'blur': blur}


MEASURES = {
    'entropy': _measure('entropy'),
    'entropy_blur5': _measure('entropy', blur=5),
    'laplacian_mean': _measure('laplacian'),
    'laplacian_mean_blur5': _measure('laplacian', blur=5),
    'laplacian_max': _measure('laplacian', aggregate='max'),
    'laplacian_max_blur5': _measure('laplacian', aggregate='max', blur=5),
    'laplacian_std': _measure('laplacian', aggregate='std'),
    'laplacian_std_blur5': _measure('laplacian', aggregate='std', blur=5),
    'upsample_mse': _measure('upsample_mse'),
    'upsample_mse_blur5': _measure('upsample_mse', blur=5),
}
"""Name of an importance measure -> its settings of QwenImageProcessorWrapper, all given, whatever a config says."""
RECOMMENDED = 'laplacian_mean_blur5'
"""The measure of configs/_base_/qwen_image_processor.py."""
VARIANTS = {
    'random_budget': {'train_settings': {'alpha': (0.2, 1.0)}},
    'copy': {'model': {'coarse_attention': 'copy'}},
}
"""Budgets under the recommended measure, with one thing changed: trained over many budgets; another to_dense."""
CAPPED_ALPHAS = (0.5, 0.3)
"""Budgets under the recommended measure whose tokens are of 2x2 units at the most; fewer are not enough to cover."""
ORACLES = ('oracle_area', 'oracle_edge', 'oracle_touch')
CONTROLS = ('drop', 'downsample', *ORACLES)
"""At each of ALPHAS; see :mod:`alpha_sweep.controls`, also for 'even', which has none."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One way to give the model fewer image tokens.

    Args:
        name: The name of the result, unique.
        series: what it has in common with the other points of its line in the plot.
        alpha: the budget, or v2's factor; None where there is none.
        settings: Arguments of QwenImageProcessorWrapper that replace those of the config.
        control: 'even' or one of :data:`CONTROLS`, applied to the dense sample; None where the wrapper does it all.
        train_settings: what replaces the settings in training.
        model: what replaces the config's arguments of the model.
    """

    name: str
    series: str
    alpha: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    control: str | None = None
    train_settings: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)


def all_conditions() -> list[Condition]:
    """Return the conditions in the order in which they are run and reported."""
    dense = {'patch_selection_method': 'none', 'alpha': 1.0}
    # A down-sampled image may be smaller than the checkpoint's lower bound; one token is the least.
    small = {**dense, 'min_pixels': 28 * 28}
    conditions = [
        Condition(name='dense', series='dense', settings=dense),
        Condition(name='even', series='even', settings=dense, control='even'),
    ]
    for control in CONTROLS:
        settings = small if control == 'downsample' else dense
        conditions += [
            Condition(name=f'{control}-{alpha}', series=control, alpha=alpha, settings=settings, control=control)
            for alpha in ALPHAS
        ]
    conditions += [_adaptive('budget', measure, alpha) for measure in MEASURES for alpha in ALPHAS]
    conditions += [_variant(name, alpha, **changes) for name, changes in VARIANTS.items() for alpha in ALPHAS]
    conditions += [_variant('capped', alpha, settings={'max_token_size': 2}) for alpha in CAPPED_ALPHAS]
    for measure in MEASURES:
        conditions += [_adaptive('v1', measure, None), *(_adaptive('v2', measure, alpha) for alpha in (1.0, 0.5))]
    return conditions


def _adaptive(selection: str, measure: str, alpha: float | None) -> Condition:
    return Condition(
        name=f'{selection}-{measure}' + ('' if alpha is None else f'-{alpha}'),
        series=f'{selection} {measure}',
        alpha=alpha,
        settings={
            'patch_selection_method': selection,
            'alpha': 1.0 if alpha is None else alpha,
            'thresholds': None,
            'max_token_size': 4,
            **MEASURES[measure],
        },
    )


def _variant(name: str, alpha: float, *, settings: dict[str, Any] | None = None, **changes: Any) -> Condition:
    budget = _adaptive('budget', RECOMMENDED, alpha)
    return replace(
        budget,
        name=f'{name}-{RECOMMENDED}-{alpha}',
        series=f'{name} {RECOMMENDED}',
        settings={**budget.settings, **(settings or {})},
        **changes,
    )
