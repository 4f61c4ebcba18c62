"""Recordings on disk, written and read: section 5 of the formats."""
