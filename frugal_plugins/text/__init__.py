"""Pure functions on text and messages: no I/O, no state but bounded memos, nothing that asks a model."""
