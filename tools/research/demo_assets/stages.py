"""The stages that grow the demo model."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training stage.

    Args:
        name: folder of its checkpoints.
        steps: weight updates.
        decay_steps: how many of them, at the end, lower the learning rate to zero.
        units: image tokens in a batch.
        sides: range of the image sides, px.
        lr: learning rate.
        vision_only: whether only the vision tower is trained.
        pruned: share of batches that are pruned to a random budget.
        max_noise: pixel noise of the scenes, drawn from 0 to this; None is that of difficulty 'medium'.
    """

    name: str
    steps: int
    decay_steps: int
    units: int
    sides: tuple[int, int]
    lr: float = 2e-3
    vision_only: bool = False
    pruned: float = 0.0
    max_noise: float | None = None

    def shortened(self, divisor: int) -> 'Stage':
        """The same stage with its steps divided."""
        return replace(self, steps=self.steps // divisor, decay_steps=self.decay_steps // divisor)


STAGES = (
    Stage(name='vision', steps=900, decay_steps=0, units=512, sides=(196, 336), vision_only=True),
    Stage(name='small', steps=2000, decay_steps=0, units=512, sides=(168, 252)),
    Stage(name='full', steps=1350, decay_steps=650, units=768, sides=(224, 448)),
    Stage(
        name='pruned', steps=1500, decay_steps=1000, units=1024, sides=(224, 448), lr=1e-3, pruned=0.75, max_noise=6.0
    ),
    Stage(
        name='pruned_long',
        steps=2500,
        decay_steps=1900,
        units=2048,
        sides=(224, 448),
        lr=1.5e-3,
        pruned=0.75,
        max_noise=6.0,
    ),
)
