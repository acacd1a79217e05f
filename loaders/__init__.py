"""From files on disk to an index on disk: documents → cleaning → splitter → embeddings → store."""

import privacy  # noqa: F401  (a loader used alone in a notebook must not phone home either)
