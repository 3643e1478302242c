"""Trials, with or without Ray: what one does, and what becomes of what it sends. `process.train_alone` runs some."""
