"""From HTTP requests to answers, for several people at once: a leaf, that may be deleted."""
