"""Stored features: what the frozen parts say of a dataset's samples, computed once and read from disk.

tools/cache_features.py makes them; a config reads them by the dataset type ``CachedFeatures``.
"""

from flmm.features.check import check_stored_features
from flmm.features.dataset import CachedFeatures, cached_features_in
from flmm.features.made_with import MadeWith
from flmm.features.records import StoredSample
from flmm.features.store import FeatureStore

__all__ = [
    'CachedFeatures',
    'FeatureStore',
    'MadeWith',
    'StoredSample',
    'cached_features_in',
    'check_stored_features',
]
