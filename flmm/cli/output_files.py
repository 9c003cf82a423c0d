"""The files that ``flmm ground`` writes for an image or a video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flmm.atomic_write import write_json
from flmm.files import prepare_output

if TYPE_CHECKING:
    from flmm.grounder import Grounding, VideoGrounding


@dataclass(frozen=True, kw_only=True)
class OutputFiles:
    """Where the results of one image or video go.

    Args:
        folder: where all results go.
        stem: what their names begin with.
        of_video: whether they are of a video.
    """

    folder: Path
    stem: str
    of_video: bool = False

    @property
    def json(self) -> Path:
        """What was found, as ``to_dict`` of :mod:`flmm.grounder` has it, and where the masks of each phrase are.

        That is ``mask_file``, or of a video ``mask_folder``.
        """
        return self.folder / f'{self.stem}.json'

    @property
    def overlay(self) -> Path:
        """The picture, of a video a moving one."""
        return self.folder / f'{self.stem}_overlay.{"gif" if self.of_video else "png"}'

    @property
    def masks(self) -> Path:
        """The folder of masks."""
        return self.folder / f'{self.stem}_masks'

    def write(self, found: 'Grounding | VideoGrounding', *, with_overlay: bool, said: dict[str, Any]) -> dict[str, Any]:
        """Replace what is there by what was found, the JSON file last, and return what that has.

        Args:
            found: what was found.
            with_overlay: whether to draw a picture.
            said: what else the JSON file has, such as the answer that the phrases are parts of.
        """
        for path in (self.json, self.overlay):
            path.unlink(missing_ok=True)  # nothing of an earlier run may stand beside what is new
        document = {**found.to_dict(), **said}
        places = found.save_png(self.masks, overwrite=True)
        for row, path in zip(document['phrases'], places, strict=True):
            row['mask_folder' if self.of_video else 'mask_file'] = path.relative_to(self.folder).as_posix()
        if with_overlay:
            found.save_overlay(self.overlay)
        write_json(self.json, document)
        return document


def output_files(images: Sequence[Path], folder: Path, *, overwrite: bool, of_video: bool = False) -> list[OutputFiles]:
    """Name the files of each image, or of a video, before work that would be lost if they could not be written.

    They are called after the image without its suffix, or with it where two of the images differ in that alone.

    Raises:
        ValueError: a file is there already, without ``overwrite``, or the folder cannot be made or written to.
    """
    stems = [image.stem for image in images]
    if len({stem.casefold() for stem in stems}) < len(stems):
        stems = [image.name for image in images]
    found = [OutputFiles(folder=folder, stem=stem, of_video=of_video) for stem in stems]
    prepare_output(found[0].json, setting='--out')
    there = [path for files in found for path in (files.json, files.overlay, files.masks) if path.exists()]
    if there and not overwrite:
        raise ValueError(f'{str(there[0])!r} exists; name another folder by --out, or add --overwrite')
    return found
