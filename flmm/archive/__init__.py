"""Archives of images and phrases, grounded shard by shard (docs/archives.md)."""

from flmm.archive.annotator import Annotator, Report
from flmm.archive.folder import ArchiveFolder
from flmm.archive.shards import Shard, list_files

__all__ = ['Annotator', 'ArchiveFolder', 'Report', 'Shard', 'list_files']
