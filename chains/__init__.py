"""From a question to an Answer: query_rewriting → retrieval → reranking → retrieval_qa → post_filter → rag."""

import privacy  # noqa: F401  (a chain used alone in a notebook must not phone home either)
