"""Whether a training loop keeps the promises of a task, found out by short trainings. `check` is the door."""
