"""Logging the agent, pinning its requirements, and MLflow's store of runs and traces."""
