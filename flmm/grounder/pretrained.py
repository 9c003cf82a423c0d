"""Grounders as folders: saved, shared on the hub, and loaded again to the same masks (docs/sharing.md)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flmm.device import check_device
from flmm.files import prepare_output
from flmm.grounder.build_saved import build_saved, check_frozen_parts, replace_weights
from flmm.grounder.grounder_folder import CONFIG, TRAINED, existing, find_folder, read_config
from flmm.grounder.saved_grounder import SavedGrounder
from flmm.models.checkpoints import load_trained

if TYPE_CHECKING:
    from flmm.datasets import RefCOCO2PNG
    from flmm.grounder.grounder import Grounder
    from flmm.models import FrozenLMM


class PretrainedGrounder:
    """What a grounder does with folders and the hub.

    Attributes:
        model: the model.
        to_sample: what makes samples.
        config: what both were built from, by these names; None where that is not known.
    """

    model: 'FrozenLMM'
    to_sample: 'RefCOCO2PNG'
    config: Mapping[str, Any] | None

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        metrics: str | Path | Mapping[str, Any] | None = None,
        include_frozen: bool = False,
    ) -> None:
        """Write a folder that :meth:`from_pretrained` reads: the trained part, what to build around it, a model card.

        LMM and SAM are named in it: where they came from the hub, by name and commit; where they lie on this machine,
        whoever loads the folder says where they lie there.

        Args:
            folder: one that is empty or not there yet.
            metrics: what tools/test.py measured of this model, for the model card: the path of its metrics.json, or
                what that holds. Without it the card says that nothing was measured.
            include_frozen: write LMM, processor and SAM, too, so that the folder is all that is needed. Weights in
                float32 are written as float16 where that loses nothing.

        Raises:
            ValueError: the folder is not empty, or cannot be made or written to; the grounder was not made from a
                config, or from one with parts that are not of this package; ``metrics`` is no object;
                ``include_frozen`` with a SAM of transformers.
        """
        folder = Path(folder)
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ValueError(f'{str(folder)!r} exists and is no empty folder; choose another, or empty it')
        saved = SavedGrounder(
            grounder=self, title=folder.resolve().name, metrics=metrics, include_frozen=include_frozen
        )
        prepare_output(folder / CONFIG, setting='folder')
        saved.save_pretrained(folder)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        metrics: str | Path | Mapping[str, Any] | None = None,
        include_frozen: bool = False,
        **hub: Any,
    ) -> str:
        """Write what :meth:`save_pretrained` writes to the hub, as one commit.

        Args:
            repo_id: name on the hub, 'owner/name'; it is made where it is not there.
            metrics: save_pretrained's.
            include_frozen: save_pretrained's.
            **hub: those of ``huggingface_hub.ModelHubMixin``: ``private``, ``branch``, ``create_pr``, ``token``,
                ``commit_message`` and others.

        Returns:
            The address of the commit.

        Raises:
            ValueError: whatever :meth:`save_pretrained` refuses; then nothing is made on the hub.
        """
        saved = SavedGrounder(grounder=self, title=repo_id, metrics=metrics, include_frozen=include_frozen)
        return saved.push_to_hub(repo_id, **hub)

    @classmethod
    def from_pretrained(
        cls,
        folder_or_name: str | Path,
        *,
        device: str = 'cpu',
        revision: str | None = None,
        lmm: str | None = None,
        sam_checkpoint: str | None = None,
        **download: Any,
    ) -> 'Grounder':
        """Load what :meth:`save_pretrained` wrote. No code of it is run, and nothing outside of it is read.

        Args:
            folder_or_name: a folder, or else a name on the hub, 'owner/name'.
            device: name of a torch device, such as 'cuda:0'.
            revision: branch, tag or commit on the hub.
            lmm: folder or name of the LMM and its processor, in place of what the folder names.
            sam_checkpoint: file of SAM's weights, in place of what the folder names; of a SAM of transformers its
                folder or name.
            **download: those of ``huggingface_hub.snapshot_download``: ``token``, ``cache_dir``, ``local_files_only``
                and others.

        Raises:
            ValueError: no such device; a file is missing, damaged or of another version of the format; the config has a
                type or setting that is not known, or names weights that are not here; the trained part does not fit, or
                was trained over another LMM or SAM than those found.
        """
        check_device(device)
        folder = find_folder(folder_or_name, revision=revision, **download)
        document = read_config(folder)
        config = replace_weights(document, lmm=lmm, sam_checkpoint=sam_checkpoint)
        model, to_sample = build_saved(config, folder, **download)
        check_frozen_parts(document['frozen_parts'], model, folder / CONFIG)
        if model.is_trained:
            load_trained(model, existing(folder, TRAINED))
        elif (folder / TRAINED).exists():
            raise ValueError(
                f'{str(folder / TRAINED)!r} is there, but {CONFIG} beside it is of a model without training'
            )
        return cls(model=model.to(device), to_sample=to_sample, config=config)
