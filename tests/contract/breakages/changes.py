"""What a breakage is made of: changes to the files of a generated project."""

from dataclasses import dataclass
from textwrap import indent

IN_A_THREAD = """await to_thread.run_sync(
                adapter.validate_json, arguments or "{}", abandon_on_cancel=True
            )"""
AGENT_CLASS = "class Agent(ResponsesAgent):\n"
SET_MODEL = "mlflow.models.set_model(AGENT)\n"


@dataclass(frozen=True)
class Patch:
    """A change to one file.

    Attributes:
        file: Its path in the agent's package, or in the repository.
        old: What stands there now, exactly once; None for a file that is not there.
        new: What stands there instead.
    """

    file: str
    old: str | None
    new: str


@dataclass(frozen=True)
class Breakage:
    """Changes that break one rule of the contract.

    Attributes:
        rule: The rule that must notice.
        says: A regular expression for what the rule must say it saw.
        patches: The changes, at different places.
    """

    rule: str
    says: str
    patches: tuple[Patch, ...]


def breaks(rule: str, says: str, *patches: Patch) -> Breakage:
    """A breakage of a rule, which must say so in these words."""
    return Breakage(rule, says, patches)


def in_agent(old: str, new: str) -> Patch:
    """A change to the agent's file."""
    return Patch("agent.py", old, new)


def in_log_model(old: str, new: str) -> Patch:
    """A change to how the agent is logged."""
    return Patch("log_model.py", old, new)


def in_example(old: str, new: str) -> Patch:
    """A change to the input example."""
    return Patch("input_example.json", old, new)


def new_file(file: str, text: str) -> Patch:
    """A file that was not there; its path in the repository."""
    return Patch(file, None, text)


def another_agent(source: str) -> Patch:
    """Code in the place of the line that gives the agent to MLflow."""
    return in_agent(SET_MODEL, source.lstrip("\n"))


def when_asked(code: str) -> Patch:
    """Lines at the beginning of `predict_stream`, which `predict` calls as well."""
    line = "        yield from iterate(self.predict_stream_async(request))\n"
    return in_agent(line, code.lstrip("\n") + line)


def while_answering(code: str) -> Patch:
    """Lines at the beginning of the asynchronous answer, which both methods collect."""
    return in_agent(
        "        tag_trace(request)\n", code.lstrip("\n") + "        tag_trace(request)\n"
    )


def at_import(code: str) -> Patch:
    """Lines at the top of the agent's file, after its imports."""
    return in_agent(AGENT_CLASS, code.lstrip("\n") + "\n\n" + AGENT_CLASS)


def with_each_item(code: str) -> Patch:
    """Lines that do something to every `item` that the LLM's answer is turned into."""
    line = '    item["status"] = "completed"\n'
    return Patch("conversation.py", line, line + code.lstrip("\n"))


def with_each_event(code: str) -> Patch:
    """Lines in the place of those that pass an `event` on."""
    delta = "            {} ResponsesAgentStreamEvent(**create_text_delta(text, message_id))\n"
    loop = "    for item in _items(whole):\n"
    done = "        {} ResponsesAgentStreamEvent(type=_ITEM_DONE, item=item)\n"
    code = code.strip("\n") + "\n"
    return Patch(
        "conversation.py",
        delta.format("yield") + loop + done.format("yield"),
        delta.format("event =") + indent(code, "    ") + loop + done.format("event =") + code,
    )


def with_all_items(code: str) -> Patch:
    """Lines of `predict` that do something to `items` before they are returned."""
    line = "        return ResponsesAgentResponse(\n            output=items, "
    return in_agent(line, code.lstrip("\n") + line)
