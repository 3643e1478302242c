"""A results folder: its file names, columns, tables, and what their numbers say."""
