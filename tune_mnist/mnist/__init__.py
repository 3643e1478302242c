"""MNIST as a task: config, networks, training, data sets, standard sweeps, published figures. `task` is the door."""
