"""What stands in a key for code and data: the user's own files as syntax trees, and the content of what is bound."""
