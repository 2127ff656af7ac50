"""The modules that v0.5.0 of the template moved, for errors of code that imports the old names."""

import re

# Old name: new names, in the package of the agent.
MOVED_MODULES = {
    "ask": ("commands.ask",),
    "bridge": ("runtime.base",),
    "cli": ("commands.cli",),
    "config": ("runtime.config",),
    "conversation": ("runtime.messages", "runtime.items"),
    "guard": ("server.middleware",),
    "llm": ("runtime.llm",),
    "llm_trace": ("runtime.llm.tracing",),
    "log_model": ("ops.log_model",),
    "logs": ("ops.log_filters",),
    "offline_llm": ("runtime.llm.offline",),
    "page": ("server.page",),
    "process": ("server.lifecycle",),
    "project": ("ops.project",),
    "report": ("commands.report",),
    "request_body": ("server.requests",),
    "requirements": ("ops.requirements",),
    "sampling": ("ops.sampling",),
    "tokens": ("runtime.llm.usage",),
    "toolbox": ("runtime.toolbox",),
    "tracking": ("ops.store",),
    "verify": ("commands.verify",),
    "wire": ("server.events",),
}


def moved_module(message: str, package: str) -> str | None:
    """Return where a module has moved to, if a message says that it cannot be imported.

    Args:
        message: An error message that may contain "No module named 'weather_agent.logs'".
        package: The name of the agent's package, such as `weather_agent`.

    Returns:
        A sentence such as "`weather_agent.logs` has moved to `weather_agent.ops.log_filters`.", or
        None if the message is about something else.
    """
    for name in re.findall(rf"No module named '{package}\.(\w+)'", message):
        if names := MOVED_MODULES.get(name):
            moved = " and ".join(f"`{package}.{new}`" for new in names)
            return f"`{package}.{name}` has moved to {moved}."
    return None
