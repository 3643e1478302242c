"""What is asked, and what is missing: sweeps, spaces, sweep files, points, the plan, the forecast."""
