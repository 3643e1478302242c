"""What the tests in the tables say in words."""
