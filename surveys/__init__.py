"""Read whole documents, to summarise them, count, list or compare; a leaf: the rest runs without this folder."""
