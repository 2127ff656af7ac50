"""Whole agents in the styles of their communities; the files in `agents` replace agent.py."""

from pathlib import Path

from tests.contract.breakages.changes import Patch, new_file

FOLDER = Path(__file__).with_name("agents")


def agent_file(name: str) -> Patch:
    """Replace agent.py."""
    return Patch("agent.py", None, FOLDER.joinpath(name).read_text(encoding="utf-8"))


def more_code(name: str) -> Patch:
    """Add a module to the agent's package."""
    text = FOLDER.joinpath(name).read_text(encoding="utf-8")
    return new_file(f"src/weather_agent/{name}", text)


STYLES: dict[str, tuple[Patch, ...]] = {
    "functions of MLflow's agent server": (more_code("faq_handlers.py"), agent_file("faq.py")),
    "a graph of nodes and edges": (agent_file("graph.py"),),
    "a planner, researchers and a writer": (agent_file("researcher.py"),),
    "a router and specialists on Databricks": (
        agent_file("router.py"),
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources:\n  serving_endpoint:\n    - databricks-meta-llama-3-1-8b-instruct\n"
            "    - databricks-claude-sonnet-4\n    - databricks-gpt-5-mini\n",
        ),
    ),
    "a pipeline of generators with guardrails": (agent_file("pipeline.py"),),
    "structured output": (agent_file("extractor.py"),),
    "JSON mode": (agent_file("json_mode.py"),),
    "pages that the LLM chooses": (agent_file("pages.py"),),
    "MLflow's own helpers": (agent_file("helpers.py"),),
    "thoughts, actions and observations as text": (agent_file("react.py"),),
    "tools that are registered by a decorator": (agent_file("decorators.py"),),
}
