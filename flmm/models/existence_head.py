"""Whether a phrase is in the image at all, judged from the LMM's attention and the phrase's hidden states.

Letters: M phrases of a sample, C attention maps of each, (h, w) their grid, L layers, R phrase tokens, D their width,
K mixtures of layers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flmm.registry import MODELS


@MODELS.register_module()
class ExistenceHead(nn.Module):
    """Two small readers and a verdict over both.

    One reads the C attention maps at each cell, so it sees whether heads that look for different words meet anywhere
    ("green" and "star" in "green star"). The other reads the hidden states of each token, in K learned mixtures of the
    layers, so a single word that found nothing counts. Their maximum and mean, over cells and over tokens, give one
    logit for each phrase. SAM's predicted IoU, the coarse logits, and each map's mass, maximum and entropy were tried
    on shapes and tell less.

    Args:
        in_channels: C; the model fills it in.
        hidden_size: D; the model fills it in.
        depth: L; the model fills it in.
        width: features of each reader.
        num_mixtures: K, at most L are used. Each mixture starts at a layer of its own, evenly spaced from the first to
            the last; a single one starts at the first.

    Attributes:
        threshold: existence from which on a phrase counts as being there; a buffer that checkpoints keep. 0.5 until
            :class:`flmm.engine.CalibrateExistenceHook` sets it; the verdict is then the answer that the head takes to
            be likelier, among phrases of which as many are absent as in training.

    Raises:
        ValueError: ``num_mixtures`` is not above 0.
    """

    threshold: Tensor

    def __init__(
        self, *, in_channels: int, hidden_size: int, depth: int, width: int = 64, num_mixtures: int = 4
    ) -> None:
        if num_mixtures < 1:
            raise ValueError(f'num_mixtures is {num_mixtures}, expected 1 or more')
        super().__init__()
        num_mixtures = min(num_mixtures, depth)
        self.read_maps = nn.Sequential(nn.Linear(in_channels, width), nn.GELU(), nn.Linear(width, width))
        starts = torch.linspace(0, depth - 1, num_mixtures).round().long()
        self.layer_weights = nn.Parameter(3.0 * F.one_hot(starts, depth).float())  # 3: most of a softmax of some layers
        self.read_tokens = nn.Sequential(nn.Linear(num_mixtures * hidden_size, width), nn.GELU())
        self.verdict = nn.Sequential(nn.Linear(4 * width, width), nn.GELU(), nn.Linear(width, 1))
        self.register_buffer('threshold', torch.tensor(0.5))

    def forward(self, attentions: Tensor, hidden_states: Tensor, tokens_per_mask: list[int]) -> Tensor:
        """Judge the phrases of one sample.

        Args:
            attentions: [M, C, h, w], attention of each phrase to the image, in any precision.
            hidden_states: [L, R, D], of the phrase tokens, phrase by phrase, in any precision.
            tokens_per_mask: M numbers that sum to R.

        Returns:
            [M] float logits; above 0 a phrase is rather there than not.
        """
        cells = attentions.float().flatten(2).transpose(1, 2)  # [M, h * w, C]
        # 1 is the attention that a cell gets when all of it goes to the image, evenly.
        cells = self.read_maps((cells * cells.shape[1] + 0.1).log().to(self.layer_weights.dtype))
        states = F.layer_norm(hidden_states.to(self.layer_weights.dtype), hidden_states.shape[-1:])
        tokens = torch.einsum('kl,lrd->rkd', self.layer_weights.softmax(dim=1), states).flatten(1)  # [R, K * D]
        tokens = self.read_tokens(tokens).split(tokens_per_mask)  # M times [tokens, width]
        read = [cells.amax(dim=1), cells.mean(dim=1)]
        read += [torch.stack([part.amax(dim=0) for part in tokens]), torch.stack([part.mean(dim=0) for part in tokens])]
        return self.verdict(torch.cat(read, dim=1)).squeeze(1)
