"""Mistakes in the `agent.py` of each framework, by the framework and what the mistake is."""

from tests.contract.breakages.changes import Breakage, Patch, breaks, in_agent

DONE_ONLY = """
            if event.type == "response.output_item.done":
                yield event
"""
CHECKPOINTER = (
    in_agent(
        "import mlflow\n", "import mlflow\nfrom langgraph.checkpoint.memory import InMemorySaver\n"
    ),
    in_agent(
        "    context_schema=ResponsesAgentRequest,\n",
        "    context_schema=ResponsesAgentRequest,\n    checkpointer=InMemorySaver(),\n",
    ),
    Patch(
        "runtime/langgraph.py",
        "            context=request,\n",
        '            context=request,\n            config={"configurable": {"thread_id": "1"}},\n',
    ),
)
SESSION = (
    Patch("runtime/openai_agents.py", "    RunConfig,\n", "    RunConfig,\n    SQLiteSession,\n"),
    Patch(
        "runtime/openai_agents.py",
        "RUN_CONFIG = ",
        'SESSION = SQLiteSession("users")\nRUN_CONFIG = ',
    ),
    Patch(
        "runtime/openai_agents.py",
        "            max_turns=max_turns,\n",
        "            max_turns=max_turns,\n            session=SESSION,\n",
    ),
)
PREDICT = "dspy.Predict(Assist.with_instructions(load_instructions()))\n"


def in_loop(call: str) -> dict[str, Breakage]:
    """Return mistakes around the call of `stream`, which all frameworks have.

    Args:
        call: The call in `answer`.
    """
    loop = (
        f"        events = {call}\n        async with aclosing(events):\n"
        "            async for event in events:\n                yield event\n"
    )
    last = call.replace("request,", 'request.model_copy(update={"input": request.input[-1:]}),', 1)
    return {
        "errors that end the answer": breaks(
            "llm-failures",
            "still answered",
            in_agent(
                loop,
                f"        try:\n            async for event in {call}:\n"
                "                yield event\n        except Exception:\n            return\n",
            ),
        ),
        "items without deltas": breaks(
            "stream-events",
            "No text delta",
            in_agent(loop, f"        async for event in {call}:{DONE_ONLY}"),
        ),
        "only the last message": breaks(
            "whole-conversation", "did not receive", in_agent(loop, loop.replace(call, last))
        ),
        "messages in the module": breaks(
            "stateless",
            "MESSAGES",
            in_agent("class Agent(Async", "MESSAGES: list = []\n\n\nclass Agent(Async"),
            in_agent(
                loop,
                "        MESSAGES.extend(request.input)\n"
                '        request = request.model_copy(update={"input": list(MESSAGES)})\n' + loop,
            ),
        ),
    }


BREAKAGES: dict[str, dict[str, Breakage]] = {
    "openai-agents": {
        **in_loop("stream(ASSISTANT, request, llm, self.config.max_rounds)"),
        "a session of all users": breaks("requests-apart", "data of another", *SESSION),
        "other instructions": breaks(
            "instructions",
            "does not receive",
            in_agent("    instructions=instructions,\n", '    instructions="You are helpful.",\n'),
        ),
        "a limit of its own": breaks(
            "bounded-rounds",
            "called the LLM",
            in_agent("llm, self.config.max_rounds)", "llm, 1000)"),
        ),
    },
    "langgraph": {
        **in_loop("stream(GRAPH, request, llm)"),
        "a checkpointer of all users": breaks("requests-apart", "data of another", *CHECKPOINTER),
        "no instructions": breaks(
            "instructions", "does not receive", in_agent("    system_prompt,\n", "")
        ),
        "no limit": breaks(
            "bounded-rounds", "", in_agent("    RoundLimit(CONFIG.max_rounds),\n", "")
        ),
        "tools of LangChain": breaks(
            "fresh-process",
            "No time zone is named",
            in_agent(
                "    tools=tools_of(TOOLS, max_length=CONFIG.tool_max_characters),\n",
                "    tools=TOOLS,\n",
            ),
        ),
        "an approval that nobody answers": breaks(
            "accepted",
            "",
            in_agent(
                "import AgentMiddleware, ModelRequest, dynamic_prompt\n",
                "import (\n    AgentMiddleware,\n    HumanInTheLoopMiddleware,\n"
                "    ModelRequest,\n    dynamic_prompt,\n)\n",
            ),
            in_agent(
                "    system_prompt,\n",
                "    system_prompt,\n    HumanInTheLoopMiddleware("
                "interrupt_on={one.__name__: True for one in TOOLS}),\n",
            ),
        ),
    },
    "pydantic-ai": {
        **in_loop("stream(assistant, request, llm, self.config.max_rounds)"),
        "no instructions": breaks(
            "instructions", "does not receive", in_agent("@assistant.instructions\n", "")
        ),
        "a limit of its own": breaks(
            "bounded-rounds",
            "called the LLM",
            in_agent("llm, self.config.max_rounds)", "llm, 1000)"),
        ),
        "tools of Pydantic AI": breaks(
            "fresh-process",
            "No time zone is named",
            in_agent(
                "    tools=tools_of(TOOLS, max_length=CONFIG.tool_max_characters),\n",
                "    tools=TOOLS,\n",
            ),
        ),
    },
    "dspy": {
        **in_loop("stream(ASSISTANT, request, llm, custom_inputs=request.custom_inputs)"),
        "a model by name": breaks(
            "no-leftovers",
            "",
            in_agent(PREDICT, f'{PREDICT}        self.assist.lm = dspy.LM("openai/gpt-5-mini")\n'),
        ),
        "no history": breaks(
            "accepted",
            "at least one message",
            in_agent("history=history, tools=", "history=dspy.History(messages=[]), tools="),
        ),
        "no instructions": breaks(
            "instructions",
            "does not receive",
            in_agent("Assist.with_instructions(load_instructions())", "Assist"),
        ),
        "a limit of its own": breaks(
            "bounded-rounds",
            "called the LLM",
            in_agent("range(1, CONFIG.max_rounds + 1)", "range(1, 1000)"),
            in_agent("rounds == CONFIG.max_rounds", "rounds == 1000"),
        ),
        "the history of all users": breaks(
            "stateless",
            "ASSISTANT.history",
            Patch("runtime/dspy.py", "trace=None, disable_history=True", "trace=None"),
        ),
        "results that the LLM does not read": breaks(
            "every-round",
            "lacks the tool calls and outputs of call 1",
            in_agent(
                "            history = dspy.History("
                "messages=[*history.messages, {**turn, **prediction}])\n            turn = {}\n",
                "",
            ),
        ),
    },
}
