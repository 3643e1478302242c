"""The door to Ray: trials, delivery, resources, cluster. `tuner` runs a plan."""
