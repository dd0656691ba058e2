"""State and models as bytes, and the registry that keeps them. Nothing is pickled.

In: arrays and plain values.
Out: versioned bytes; signed model folders.
"""

__all__ = [
    "aliases",
    "codec",
    "manifest",
    "registry",
    "signature",
    "stored_files",
    "unfinished",
]
