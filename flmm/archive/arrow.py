"""pyarrow, which only archives need."""

try:
    import pyarrow
    import pyarrow.parquet as parquet
except ImportError as error:
    raise ImportError(f"archives need pyarrow ({error}); install it by: pip install 'flmm[archive]'") from error

__all__ = ['parquet', 'pyarrow']
