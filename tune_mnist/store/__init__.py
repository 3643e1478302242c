"""What has been trained: histories and checkpoints. `store` is the door."""
