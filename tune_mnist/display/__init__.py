"""What a terminal, the log and TensorBoard show while a sweep runs."""
