"""History for Project Haystack servers: its values and grids, who may write what, and the writing."""
