"""What is done with an agent: log it, store its runs and traces, pin its requirements."""
