"""The report: what it says, as page, Markdown and PDF. `write` is the door."""
