"""Mistakes in what the LLM gets: requests that APIs refuse, and requests without something."""

from tests.contract.breakages.changes import (
    INPUT,
    MESSAGES,
    Patch,
    breaks,
    in_agent,
    tool,
)
from tests.contract.own_clients import SYNCHRONOUS, changed

ADD_ROUND = "            messages += to_messages(items)\n"
CONTENT = "        content = self.instructions\n"
CUSTOM_INPUTS = "request.custom_inputs, ensure_ascii=False, default=str"
OPTIONS = "self.toolbox.options(may_call=rounds < self.config.max_rounds)"


def own_tool(function: str) -> Patch:
    """Offer one tool, described by hand, instead of those of the toolbox."""
    return in_agent(OPTIONS, f'{{"tools": [{{"type": "function", "function": {function}}}]}}')


def option(option: str) -> Patch:
    """Pass one more option to the LLM."""
    return in_agent("(messages, **options)", f"(messages, **options, {option})")


def each_text(code: str) -> Patch:
    """Change the `text` of each message of the conversation."""
    return in_agent(
        MESSAGES,
        f"""{MESSAGES}        for message in messages[1:]:
            if isinstance(text := message["content"], str):
                message["content"] = {code}
""",
    )


def own_parameters(parameters: str) -> Patch:
    """Offer one tool with these parameters."""
    return own_tool(f'{{"name": "search", "parameters": {parameters}}}')


def each_round(code: str) -> Patch:
    """Add the `items` of a round to the `messages` in another way."""
    return in_agent(ADD_ROUND, f"            {code}\n")


def without_items(kind: str) -> Patch:
    """Leave items of a type out of the conversation."""
    return in_agent(INPUT, f'*to_messages(one for one in request.input if one.type != "{kind}")]')


LLM_REQUESTS = {
    # Messages that LLM APIs refuse
    "a message for each of several parallel calls": breaks(
        "llm-requests",
        r"tool_call_ids have no output before 'messages\[\d+\]'",
        each_round("""for item in sorted(items, key=lambda item: item["type"]):
                messages += to_messages([item])"""),
    ),
    "only the first output of several parallel calls": breaks(
        "llm-requests",
        "tool_call_ids have no output before the end of 'messages'",
        each_round("messages += to_messages(items)[:2]"),
    ),
    "earlier tool outputs left out of the conversation": breaks(
        "llm-requests",
        r"have no output before 'messages\[\d\]': call_1",
        without_items("function_call_output"),
    ),
    "earlier tool calls left out of the conversation": breaks(
        "llm-requests",
        "a tool message must follow the message with its call in 'tool_calls', but 'call_1'",
        without_items("function_call"),
    ),
    "a note after each earlier tool call": breaks(
        "llm-requests",
        r"have no output before 'messages\[\d\]': call_1",
        in_agent(
            MESSAGES,
            """        messages = [self.system_message(request)]
        for item in request.input:
            messages += to_messages([item])
            if item.type == "function_call":
                messages.append({"role": "user", "content": "You called a tool."})
""",
        ),
    ),
    "tool outputs sent without their calls": breaks(
        "accepted",
        "a tool message must follow the message with its call",
        each_round(
            'messages += to_messages(item for item in items if item["type"] != "function_call")'
        ),
    ),
    "tool calls sent without their outputs": breaks(
        "accepted",
        "tool_call_ids have no output before the end of 'messages'",
        each_round(
            'messages += to_messages(item for item in items if item["type"] == "function_call")'
        ),
    ),
    "a reminder between a tool call and its output": breaks(
        "accepted",
        r"tool_call_ids have no output before 'messages\[\d+\]'",
        each_round("""call, *outputs = to_messages(items)
            messages += [call, {"role": "user", "content": "Use the output."}, *outputs]"""),
    ),
    "a tool output that is not a text": breaks(
        "accepted",
        "expected a string or an array of parts, got dict",
        each_round("""call, *outputs = to_messages(items)
            outputs = [one | {"content": {"result": one["content"]}} for one in outputs]
            messages += [call, *outputs]"""),
    ),
    "a blank text with a tool call": breaks(
        "accepted",
        "content': text content must be non-empty and not blank",
        each_round("""call, *outputs = to_messages(items)
            messages += [call | {"content": "\\n"}, *outputs]"""),
    ),
    "arguments sent as an object": breaks(
        "accepted",
        "arguments of 'current_time' are not a JSON object in a string",
        each_round("""call, *outputs = to_messages(items)
            for one in call["tool_calls"]:
                one["function"]["arguments"] = json.loads(one["function"]["arguments"])
            messages += [call, *outputs]"""),
    ),
    "half a character in a tool output": breaks(
        "accepted",
        "half of a surrogate pair after",
        in_agent(
            'yield function_call_output(item["call_id"], output)',
            'yield function_call_output(item["call_id"], output + "\\udce9")',
        ),
    ),
    "items sent as messages, without conversion": breaks(
        "llm-requests",
        "role': None is not one of developer, system",
        in_agent(INPUT, "*(item.model_dump(exclude_none=True) for item in request.input)]"),
    ),
    "a system message that is empty without custom_inputs": breaks(
        "accepted",
        r"messages\[0\].content': text content must be non-empty",
        in_agent(CONTENT, '        content = ""\n'),
    ),
    "a role of another API": breaks(
        "accepted",
        "role': 'instructions' is not one of",
        in_agent(
            '"role": "system", "content": content', '"role": "instructions", "content": content'
        ),
    ),
    "an empty list of tools": breaks(
        "accepted",
        "Invalid 'tools': the array is empty",
        in_agent(OPTIONS, '{"tools": []}'),
    ),
    # Instructions that LLM APIs refuse
    "empty instructions": breaks(
        "accepted", "instructions.md is empty", Patch("instructions.md", None, "")
    ),
    "blank instructions": breaks(
        "accepted", "instructions.md is empty", Patch("instructions.md", None, " \n\n\t\n")
    ),
    "instructions of 600,000 characters": breaks(
        "accepted",
        "maximum context length is 128000 tokens",
        Patch("instructions.md", None, "Be brief. " * 60_000),
    ),
    # Tools that LLM APIs refuse
    "a tool with a non-ASCII name": breaks(
        "accepted",
        r"Invalid 'tools\[0\].function.name': 'größe' does not match",
        *tool("größe", "def größe() -> float:\n    return 1.8"),
    ),
    "a tool with a name of more than 64 characters": breaks(
        "accepted",
        "name': 'find_(the_)+house' does not match",
        *tool(
            f"find_{'the_' * 15}house",
            f"def find_{'the_' * 15}house() -> str:\n    return 'here'",
        ),
    ),
    "a lambda as a tool": breaks(
        "accepted",
        "name': '<lambda>' does not match",
        *tool("shout", "shout = lambda text: text.upper()"),
    ),
    "two tools with one name": breaks(
        "accepted",
        "Tool names must be unique, but 'days_between' is repeated",
        *tool("days_between", ""),
    ),
    "a tool with a dot in its name": breaks(
        "accepted",
        "name': 'weather.search' does not match",
        own_tool('{"name": "weather.search", "parameters": {"type": "object", "properties": {}}}'),
    ),
    "a tool with a description of more than 1,024 characters": breaks(
        "accepted",
        "The description of 'explain' has 1120 characters",
        *tool(
            "explain", f'def explain() -> str:\n    """{"Explain. " * 124}Done"""\n    return ""'
        ),
    ),
    "a parameter without a type hint": breaks(
        "accepted",
        r"function 'repeat': In context=\('properties', 'text'\), schema must have a 'type' key",
        *tool("repeat", "def repeat(text, times: int = 2) -> str:\n    return text * times"),
    ),
    "a tool whose parameters are not a schema": breaks(
        "accepted",
        "Invalid schema for function 'search': The schema must have the type 'object'",
        own_parameters('{"city": "string"}'),
    ),
    "a parameter with a type of Python": breaks(
        "accepted",
        r"function 'search': In context=\('properties', 'city'\), 'str' is not a type",
        own_parameters('{"type": "object", "properties": {"city": {"type": "str"}}}'),
    ),
    "a parameter without a type": breaks(
        "accepted",
        r"function 'search': In context=\('properties', 'city'\), schema must have a 'type' key",
        own_parameters('{"type": "object", "properties": {"city": {"description": "A city."}}}'),
    ),
    "an array without the type of its items": breaks(
        "accepted",
        r"function 'search': In context=\('properties', 'cities'\), array schema missing items",
        own_parameters('{"type": "object", "properties": {"cities": {"type": "array"}}}'),
    ),
    "a parameter that says that it is required": breaks(
        "accepted",
        "'required' is True, not of type list",
        own_parameters(
            '{"type": "object", "properties": {"city": {"type": "string", "required": True}}}'
        ),
    ),
    "a required parameter that does not exist": breaks(
        "accepted",
        r"In context=\(\), the required property 'town' is not defined",
        own_parameters(
            '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["town"]}'
        ),
    ),
    "a parameter with an umlaut": breaks(
        "accepted",
        "The parameter 'länge' does not match",
        *tool("area", "def area(länge: float) -> float:\n    return länge**2"),
    ),
    "a default of infinity": breaks(
        "accepted",
        "the request contains infinity or NaN",
        *tool(
            "cheaper",
            'def cheaper(price: float, limit: float = float("inf")) -> bool:\n'
            "    return price < limit",
        ),
    ),
    "strict tools with optional parameters": breaks(
        "accepted",
        "'required' lacks 'format'",
        Patch(
            "runtime/toolbox.py",
            '            "parameters": parameters,\n',
            '            "parameters": parameters,\n            "strict": True,\n',
        ),
        *tool("clock", 'def clock(format: str = "%H:%M") -> str:\n    return format'),
    ),
    "a description in a tuple": breaks(
        "accepted",
        "description': expected a string, got list",
        own_tool('{"name": "search", "description": ("Search.",)}'),
    ),
    # Options that LLM APIs refuse
    "a temperature in quotes": breaks(
        "accepted", "'temperature': expected a number, got str", option('temperature="0.2"')
    ),
    "a choice of tools under the name of another API": breaks(
        "accepted",
        "'tool_choice': 'any' is not one of none, auto, required",
        in_agent(OPTIONS, f'{OPTIONS} | {{"tool_choice": "any"}}'),
    ),
    "a schema of the answer without a name": breaks(
        "accepted",
        "Missing required parameter: 'response_format.json_schema.name'",
        option('response_format={"type": "json_schema", "json_schema": {"schema": {}}}'),
    ),
    "options of streams without a stream": breaks(
        "accepted",
        "'stream_options': it is only allowed when 'stream' is enabled",
        *changed(
            SYNCHRONOUS,
            "tools=[LOOK_UP]",
            'tools=[LOOK_UP], stream_options={"include_usage": True}',
        ),
    ),
    "tool outputs that are cut without a note": breaks(
        "every-round",
        "The LLM receives only the first 400 of ",
        in_agent(
            'yield function_call_output(item["call_id"], output)',
            'yield function_call_output(item["call_id"], output[:400])',
        ),
    ),
    "numbers in the metadata": breaks(
        "every-round",
        "'metadata.round': expected a string, got int",
        option('**({"metadata": {"round": rounds}} if request.custom_inputs else {})'),
    ),
    "a mark for the cache in each round": breaks(
        "every-round",
        "a maximum of 4 blocks with cache_control may be provided. Found 5",
        in_agent(
            "            completion = to_events(",
            '            part = {"type": "text", "text": messages[-1]["content"]}\n'
            '            marked = {"content": [part | {"cache_control": {"type": "ephemeral"}}]}\n'
            '            if isinstance(part["text"], str):\n'
            "                messages[-1] = messages[-1] | marked\n"
            "            completion = to_events(",
        ),
    ),
    "the last of several outputs alone": breaks(
        "every-round",
        "The LLM receives only the start of 2 of 3 tool outputs that are equally long",
        in_agent(
            ADD_ROUND,
            ADD_ROUND + "            for message in messages[:-1]:\n"
            '                if message["role"] == "tool":\n'
            '                    message["content"] = message["content"][:500]\n',
        ),
    ),
    "a blank message before the last round": breaks(
        "every-round",
        "text content must be non-empty and not blank",
        in_agent(
            "            completion = to_events(",
            "            if rounds == self.config.max_rounds:\n"
            '                messages.append({"role": "assistant", "content": ""})\n'
            "            completion = to_events(",
        ),
    ),
    # Instructions
    "messages without a system message": breaks(
        "instructions",
        "The LLM does not receive instructions.md",
        in_agent(MESSAGES, "        messages = to_messages(request.input)\n"),
    ),
    "the first characters of the instructions": breaks(
        "instructions",
        "does not receive this line of instructions.md: 'Use a tool",
        in_agent(CONTENT, "        content = self.instructions[:80]\n"),
    ),
    "custom_inputs in place of the instructions": breaks(
        "instructions",
        "For a request with custom_inputs, the LLM does not receive this line",
        in_agent('content += f"\\nThe', 'content = f"\\nThe'),
    ),
    "a name in place of the instructions": breaks(
        "instructions",
        "For a request with a context, the LLM does not receive this line",
        in_agent(
            CONTENT,
            "        user = request.context and request.context.user_id\n"
            '        content = f"You talk to {user}." if user else self.instructions\n',
        ),
    ),
    "a developer message in place of the instructions": breaks(
        "instructions",
        "with earlier turns and a developer message, the LLM does not receive this line",
        in_agent(
            MESSAGES,
            """        messages = to_messages(request.input)
        if messages[0]["role"] != "system":
            messages.insert(0, self.system_message(request))
""",
        ),
    ),
    "instructions only in the first turn": breaks(
        "instructions",
        "with earlier turns and a developer message, the LLM does not receive this line",
        in_agent(
            MESSAGES,
            """        messages = to_messages(request.input)
        if len(messages) == 1:
            messages.insert(0, self.system_message(request))
""",
        ),
    ),
    # The conversation
    "only the last message sent to the LLM": breaks(
        "whole-conversation",
        "did not receive 98 of 99 items: the developer message",
        in_agent(INPUT, "*to_messages(request.input[-1:])]"),
    ),
    "the last ten items sent to the LLM": breaks(
        "whole-conversation",
        "did not receive 89 of 99 items: the developer message",
        in_agent(INPUT, "*to_messages(request.input[-10:])]"),
    ),
    "large outputs of tools not sent to the LLM": breaks(
        "llm-requests",
        "have no output before 'messages",
        in_agent(
            MESSAGES,
            MESSAGES + "        messages = [one for one in messages "
            'if one["role"] != "tool" or len(one["content"]) < 2000]\n',
        ),
    ),
    "the last 50 items sent to the LLM": breaks(
        "whole-conversation",
        r"did not receive \d+ of 99 items: the developer message",
        in_agent(INPUT, "*to_messages(request.input[-50:])]"),
    ),
    "incomplete answers not sent to the LLM": breaks(
        "whole-conversation",
        "The LLM did not receive an answer that is incomplete: 'sorrel'",
        in_agent(
            INPUT,
            "*to_messages([one for one in request.input "
            'if getattr(one, "status", None) != "incomplete"])]',
        ),
    ),
    "system messages only at the start": breaks(
        "whole-conversation",
        "The LLM did not receive the second developer message: 'hawthorn'",
        in_agent(
            MESSAGES,
            MESSAGES + "        messages = [one for number, one in enumerate(messages) "
            'if number < 2 or one["role"] != "system"]\n',
        ),
    ),
    "earlier tool calls not sent to the LLM": breaks(
        "whole-conversation",
        "did not receive 3 of 99 items: the tool call, the tool output",
        in_agent(
            INPUT, '*to_messages([item for item in request.input if item.type == "message"])]'
        ),
    ),
    "developer messages not sent to the LLM": breaks(
        "whole-conversation",
        "did not receive 1 of 99 items: the developer message",
        in_agent(
            INPUT,
            "*to_messages(item for item in request.input "
            'if getattr(item, "role", "") != "developer")]',
        ),
    ),
    "only the first part of a message sent to the LLM": breaks(
        "whole-conversation",
        "did not receive 1 of 99 items: the last user message",
        in_agent(
            MESSAGES,
            """        for item in request.input:
            if isinstance(getattr(item, "content", None), list):
                item.content = item.content[:1]
"""
            + MESSAGES,
        ),
    ),
    "the newest messages first": breaks(
        "whole-conversation",
        "in another order",
        in_agent(INPUT, "*to_messages(request.input)[:8], *to_messages(request.input)[:7:-1]]"),
    ),
    "repeated messages sent to the LLM once": breaks(
        "whole-conversation",
        "did not receive a message that repeats an earlier one",
        in_agent(
            MESSAGES,
            f"{MESSAGES}        messages = list({{str(one): one for one in messages}}.values())\n",
        ),
    ),
    "the first 500 characters of each message sent to the LLM": breaks(
        "whole-conversation",
        "did not receive the end of a message of 30,000 characters",
        each_text("text[:500]"),
    ),
    "the first 20,000 characters of each message sent to the LLM": breaks(
        "whole-conversation",
        "did not receive the end of a message of 30,000 characters",
        each_text("text[:20_000]"),
    ),
    "lines of messages joined": breaks(
        "whole-conversation",
        "did not receive the line breaks and spaces of a message",
        each_text('" ".join(text.split())'),
    ),
    "tags removed from messages": breaks(
        "whole-conversation",
        "did not receive the tags and punctuation of a message: '<b>Thorns",
        each_text('re.sub("<[^>]*>", "", text)'),
        in_agent("import json\n", "import json\nimport re\n"),
    ),
    "only ASCII characters sent to the LLM": breaks(
        "whole-conversation",
        "did not receive characters that are not ASCII",
        in_agent(
            MESSAGES,
            f"""{MESSAGES}        text = json.dumps(messages, ensure_ascii=False)
        messages = json.loads(text.encode("ascii", "ignore"))
""",
        ),
    ),
    "a window of 4,000 characters": breaks(
        "whole-conversation",
        "did not receive .+ of 99 items",
        in_agent(
            MESSAGES,
            f"""{MESSAGES}        while len(messages) > 2 and len(str(messages)) > 4000:
            messages.pop(1)
""",
        ),
    ),
    # Later rounds
    "the first 30 characters of each tool output": breaks(
        "every-round",
        "does not receive .* of the tool output",
        each_round("""for message in to_messages(items):
                if message["role"] == "tool":
                    message["content"] = message["content"][:30]
                messages.append(message)"""),
    ),
    "failed tool calls left out of later rounds": breaks(
        "every-round",
        "does not receive .* of the tool output .Error",
        each_round("""failed = [
                one["call_id"] for one in items if str(one.get("output")).startswith("Error")
            ]
            items = [{**one} for one in items if one.get("call_id") not in failed]
            messages += to_messages(items)"""),
    ),
    "custom_inputs without values that are 0": breaks(
        "every-round",
        "does not receive all custom_inputs; it lacks 'larch0'",
        in_agent(
            CUSTOM_INPUTS, "{k: v for k, v in request.custom_inputs.items() if v}, default=str"
        ),
    ),
    "custom_inputs without lists": breaks(
        "every-round",
        "does not receive all custom_inputs; it lacks 'yew'",
        in_agent(
            CUSTOM_INPUTS,
            "{k: v for k, v in request.custom_inputs.items() if isinstance(v, str | int)}, "
            "default=str",
        ),
    ),
    "custom_inputs only in the first turn": breaks(
        "every-round",
        "With earlier turns, the LLM does not receive custom_inputs",
        in_agent(
            "        if request.custom_inputs:\n",
            "        if request.custom_inputs and len(request.input) == 1:\n",
        ),
    ),
    "custom_inputs only in later turns": breaks(
        "every-round",
        "Without earlier turns, the LLM does not receive custom_inputs",
        in_agent(
            "        if request.custom_inputs:\n",
            "        if request.custom_inputs and len(request.input) > 1:\n",
        ),
    ),
    "only the last round sent to the LLM": breaks(
        "every-round",
        r"Call 3 of \d to the LLM lacks the tool outputs of earlier rounds",
        each_round(
            "messages = [self.system_message(request), *to_messages([*request.input, *items])]"
        ),
    ),
    "later rounds without the conversation": breaks(
        "every-round",
        r"Call 2 of \d to the LLM lacks the developer message, the first user message",
        each_round("messages = [messages[0], messages[-1], *to_messages(items)]"),
    ),
    "later rounds without the instructions": breaks(
        "every-round",
        r"Call 2 of \d to the LLM lacks .*the instructions",
        each_round("messages = [*to_messages(request.input), *to_messages(items)]"),
    ),
    "later rounds without custom_inputs": breaks(
        "every-round",
        r"Call 2 of \d to the LLM lacks custom_inputs",
        each_round(
            'messages = [{"role": "system", "content": self.instructions}, *messages[1:], '
            "*to_messages(items)]"
        ),
    ),
    "later rounds without the tool outputs": breaks(
        "every-round",
        "Call 2 of 8 to the LLM lacks the tool calls and outputs of call 1",
        each_round("assert items"),
    ),
    "a last round without the system message": breaks(
        "every-round",
        "Call 8 of 8 to the LLM lacks .*the instructions",
        in_agent(
            "to_events(llm.stream(messages, **options))",
            "to_events(llm.stream(messages[2 * (rounds == 8) :], **options))",
        ),
    ),
    "a window of the last messages": breaks(
        "every-round",
        r"Call \d of \d to the LLM lacks the first user message",
        each_round("messages = [*messages[:2], *messages[-40:], *to_messages(items)][-46:]"),
    ),
    "images only in the first round": breaks(
        "every-round",
        "Call 2 of 2 to the LLM lacks the image of the user's message",
        in_agent(
            ADD_ROUND,
            """            for message in messages:
                if message["role"] == "user" and isinstance(message["content"], list):
                    texts = [part.get("text", "(image)") for part in message["content"]]
                    message["content"] = "\\n".join(texts)
"""
            + ADD_ROUND,
        ),
    ),
}
