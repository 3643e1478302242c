"""Machines of one's own, over SSH: what they are, whether a cluster can be made of them, who joins it, and its end."""
