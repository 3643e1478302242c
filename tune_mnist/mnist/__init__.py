"""MNIST as a task: config, networks, training, data sets, the standard sweeps, the published figures. `task` is the door."""
