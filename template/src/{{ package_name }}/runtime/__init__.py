"""Code that runs for every request: the base class, the LLM and the tools."""
