"""This machine: devices, CPUs, memory, and the record of where a command ran."""
