"""Logs, evaluates, registers and deploys the agent, answers batches, and updates the template."""
