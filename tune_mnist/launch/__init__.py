"""A sweep on a cluster that Ray's launcher starts. `launch` is the door."""
