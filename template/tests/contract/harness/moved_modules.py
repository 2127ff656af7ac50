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
    "sampling": ("server.sampling",),
    "tokens": ("runtime.llm.usage",),
    "toolbox": ("runtime.toolbox",),
    "tracking": ("ops.store",),
    "verify": ("commands.verify",),
    "wire": ("server.events",),
}
# The same in tests/contract/.
MOVED_HELPERS = {
    "elsewhere": ("harness.fresh_process_main",),
    "errors": ("harness.errors",),
    "fresh_process": ("harness.fresh_process",),
    "imports": ("harness.imports",),
    "loop_watch": ("harness.loop_watch",),
    "patience": ("harness.waiting",),
    "reporting": ("harness.reporting",),
    "resources": ("harness.resources",),
    "rules": ("harness.rules",),
    "sameness": ("harness.same_items",),
    "secret_patterns": ("harness.secret_patterns",),
    "serving": ("harness.serving",),
    "state": ("harness.state",),
    "strict_json": ("harness.strict_json",),
    "subject": ("harness.agents",),
    "syntax": ("harness.syntax",),
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
    tables = {package: MOVED_MODULES, "tests.contract": MOVED_HELPERS}
    for missing in re.findall(r"No module named '([\w.]+)'", message):
        parent, _, name = missing.rpartition(".")
        if names := tables.get(parent, {}).get(name):
            moved = " and ".join(f"`{parent}.{new}`" for new in names)
            return f"`{missing}` has moved to {moved}."
    return None
