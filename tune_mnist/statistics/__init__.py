"""Statistics of a few independent numbers. No tables here."""
