"""From a GGUF file and messages to text: chat_template → engine → sampling → text_filters, joined in chat_model."""

import privacy  # noqa: F401  (a model used alone in a notebook must not phone home either)
