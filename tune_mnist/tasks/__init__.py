"""A user's training function as a task: loading, parameters, fingerprints of code and data. `user` is the door."""
