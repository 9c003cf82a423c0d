"""Which square of the image each image token covers, and what follows from it: positions, windows, dense maps.

Letters: T tokens of an image, (h, w) its grid in units, m merge_size (m x m patches make one token), s the size of a
token, P the patch size that the model reads in px. A *unit* is the square of m x m patches that one dense token covers.
A token of size s covers s x s units and is read from m x m patches of s * P px, each brought down to P x P. Nothing
here depends on P.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

SIZES = (1, 2, 4)
"""The token sizes in units: what patches of P, 2 P and 4 P px make."""


@dataclass(kw_only=True, frozen=True, eq=False)
class TokenLayout:
    """The tokens of one image on its dense grid.

    Args:
        tokens: [T, 3] long: top, left and size of each token in units, sorted by (top, left). Together the tokens
            cover every unit once; each lies at a multiple of its size. :meth:`check` says whether they do.
        grid_size: (h, w), the dense grid in units.
    """

    tokens: Tensor
    grid_size: tuple[int, int]

    @staticmethod
    def fewest_tokens(grid_size: tuple[int, int], *, max_token_size: int = 4) -> int:
        """How many tokens cover a grid of (h, w) units at the least: the largest that fit, others at the borders."""
        h, w = grid_size
        # Four of one size become one of the next, wherever that fits.
        return h * w - 3 * sum((h // size) * (w // size) for size in SIZES[1:] if size <= max_token_size)

    @classmethod
    def dense(cls, grid_size: tuple[int, int], *, device: torch.device | str | None = None) -> 'TokenLayout':
        """One token for each unit: what the stock model reads."""
        h, w = grid_size
        rows, columns = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing='ij')
        tokens = torch.stack([rows, columns, torch.ones_like(rows)], dim=-1).reshape(-1, 3)
        return cls(tokens=tokens, grid_size=(h, w))

    @classmethod
    def from_masks(cls, masks: dict[int, Tensor], *, merge_size: int) -> list['TokenLayout']:
        """Read the layouts of a batch from the selected patches.

        Args:
            masks: for each patch size in px the selected patches, [B, rows, columns] bool, as the functions of
                ``flmm.apt.selection`` return them for the same ``merge_size``.
            merge_size: m; a token's m x m patches are selected together.

        Raises:
            ValueError: they are not: the masks are of another ``merge_size``.
        """
        base = min(masks)
        batch_size, rows, columns = masks[base].shape
        found = []
        for patch_size, selected in masks.items():
            size = patch_size // base
            # The first patch of each m x m group stands for the token.
            tokens = selected[:, ::merge_size, ::merge_size]
            groups = tokens.repeat_interleave(merge_size, 1).repeat_interleave(merge_size, 2)
            if not torch.equal(groups[:, : selected.shape[1], : selected.shape[2]], selected):
                raise ValueError(
                    f'masks of {patch_size} px do not select {merge_size}x{merge_size} patches together; select with '
                    f'merge_size={merge_size}'
                )
            image, row, column = tokens.nonzero(as_tuple=True)
            found.append(torch.stack([image, row * size, column * size, torch.full_like(row, size)], dim=1))
        tokens = torch.cat(found)
        grid_size = (rows // merge_size, columns // merge_size)
        place = (tokens[:, 0] * grid_size[0] + tokens[:, 1]) * grid_size[1] + tokens[:, 2]
        tokens = tokens[place.argsort()]
        counts = torch.bincount(tokens[:, 0], minlength=batch_size).tolist()
        return [cls(tokens=part, grid_size=grid_size) for part in tokens[:, 1:].split(counts)]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_dense(self) -> bool:
        """Whether every token covers a single unit."""
        return bool((self.tokens[:, 2] == 1).all())

    def check(self) -> None:
        """Check that the tokens are a layout of the grid.

        Raises:
            ValueError: they are not; the message says what is wrong and names the first token or unit it holds for.
        """
        h, w = self.grid_size
        if self.tokens.ndim != 2 or self.tokens.shape[1] != 3 or self.tokens.dtype != torch.long:
            found = f'{tuple(self.tokens.shape)} {self.tokens.dtype}'
            raise ValueError(f'image layout is {found}, expected (tokens, 3) long: top, left, size of each token')
        top, left, size = self.tokens.unbind(1)
        self._refuse(~torch.isin(size, torch.tensor(SIZES, device=size.device)), f'has a size other than {SIZES}')
        outside = (top < 0) | (left < 0) | (top + size > h) | (left + size > w)
        self._refuse(outside, f'reaches outside the grid of {h}x{w} units')
        self._refuse((top % size != 0) | (left % size != 0), 'does not lie at a multiple of its size')
        place = top * w + left
        self._refuse(torch.cat([place.new_zeros(1), place.diff()]) < 0, 'is out of order; sort by (top, left)')
        covered = torch.bincount(self._units, minlength=h * w)
        if not bool((covered == 1).all()):
            unit = int((covered != 1).nonzero()[0])
            raise ValueError(
                f'image layout covers unit (row {unit // w}, column {unit % w}) {int(covered[unit])} times; '
                'each unit of the grid must be covered once'
            )

    def _refuse(self, wrong: Tensor, problem: str) -> None:
        if bool(wrong.any()):
            index = int(wrong.nonzero()[0])
            raise ValueError(f'image layout: token {index} (top, left, size = {self.tokens[index].tolist()}) {problem}')

    def centres(self) -> Tensor:
        """[T, 2] float32: row and column of each token's centre in units; the centre of unit (0, 0) is (0, 0).

        Added to the position of the image's first token they are its rotary positions in the language model.
        """
        return self.tokens[:, :2] + (self.tokens[:, 2:] - 1) / 2

    def patch_centres(self, *, merge_size: int) -> Tensor:
        """[T * m * m, 2] float32: row and column of each patch's centre in patches of P px, token by token.

        They are the rotary positions of the vision tower; the patches of a token come row by row.
        """
        top_left, size = self.tokens[:, None, :2], self.tokens[:, None, 2:]
        within = torch.arange(merge_size, device=self.tokens.device)
        within = torch.cartesian_prod(within, within).reshape(1, merge_size**2, 2)  # [1, m * m, 2]
        return (top_left * merge_size + within * size + (size - 1) / 2).flatten(0, 1)

    def windows(self, window_size: int) -> tuple[Tensor, Tensor]:
        """Group the tokens by attention window.

        Args:
            window_size: side of a window in units.

        Returns:
            [T] long, the tokens window by window (row by row), in order of the layout within each; and the number of
            tokens in each window, [windows] long.

        Raises:
            ValueError: a token reaches into a second window.
        """
        top, left, size = self.tokens.unbind(1)
        self._refuse(
            (top % window_size + size > window_size) | (left % window_size + size > window_size),
            f'does not fit into an attention window of {window_size}x{window_size} units; use smaller patches',
        )
        across = -(-self.grid_size[1] // window_size)
        window = (top // window_size) * across + left // window_size
        return window.argsort(stable=True), torch.unique(window, return_counts=True)[1]

    def to_dense(self, values: Tensor, *, mode: str = 'spread') -> Tensor:
        """Lay values of tokens onto the grid: [..., T] -> [..., h, w].

        Args:
            values: one number for each token, such as the attention that a phrase pays to it.
            mode: 'spread' divides a token's value over its s * s units, so that sums over the image are conserved;
                'copy' gives each unit the value of its token.

        Raises:
            ValueError: another number of values than of tokens, or an unknown mode.
        """
        if values.shape[-1] != len(self):
            raise ValueError(f'values have {values.shape[-1]} columns, the layout has {len(self)} tokens')
        if mode not in ('spread', 'copy'):
            raise ValueError(f"mode is {mode!r}, expected 'spread' or 'copy'")
        if mode == 'spread':
            values = values / self.tokens[:, 2].square()
        h, w = self.grid_size
        dense = values.new_zeros(*values.shape[:-1], h * w)
        dense[..., self._units] = values[..., self._token_of_unit]
        return dense.unflatten(-1, (h, w))

    def to_tokens(self, values: Tensor) -> Tensor:
        """Add up values of units over each token: [..., h, w] -> [..., T]; undoes :meth:`to_dense` with 'spread'."""
        if values.shape[-2:] != self.grid_size:
            raise ValueError(f'values lie on a grid of {tuple(values.shape[-2:])}, the layout on {self.grid_size}')
        tokens = values.new_zeros(*values.shape[:-2], len(self))
        return tokens.index_add(-1, self._token_of_unit, values.flatten(-2)[..., self._units])

    @cached_property
    def _token_of_unit(self) -> Tensor:
        return torch.repeat_interleave(self.tokens[:, 2].square())

    @cached_property
    def _units(self) -> Tensor:
        """The units that the tokens cover, token by token, as indices into the flattened grid."""
        top, left, size = self.tokens[self._token_of_unit].unbind(1)
        first = (self.tokens[:, 2].square().cumsum(0) - self.tokens[:, 2].square())[self._token_of_unit]
        within = torch.arange(len(top), device=top.device) - first
        return (top + within // size) * self.grid_size[1] + left + within % size
