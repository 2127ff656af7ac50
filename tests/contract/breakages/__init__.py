"""Mistakes in a generated project, each with the rule of the contract that must fail.

There is one module per part of the contract.
"""

from tests.contract.breakages.answers import ANSWERS
from tests.contract.breakages.bundle import BUNDLE
from tests.contract.breakages.changes import Breakage, Patch
from tests.contract.breakages.files import FILES
from tests.contract.breakages.llm import LLM
from tests.contract.breakages.llm_requests import LLM_REQUESTS
from tests.contract.breakages.loading import LOADING
from tests.contract.breakages.model import MODEL
from tests.contract.breakages.server import SERVER
from tests.contract.breakages.source import SOURCE
from tests.contract.breakages.streams import STREAMS
from tests.contract.breakages.tools import TOOLS
from tests.contract.breakages.traces import TRACES

GROUPS: dict[str, dict[str, Breakage]] = {
    "The logged model": MODEL,
    "Loading it elsewhere": LOADING,
    "Answers": ANSWERS,
    "Streams": STREAMS,
    "The LLM behind the agent": LLM | LLM_REQUESTS,
    "Traces": TRACES,
    "The server": SERVER,
    "Tools": TOOLS,
    "The source": SOURCE,
    "The files": FILES,
    "The bundle": BUNDLE,
}
BREAKAGES = {name: breakage for group in GROUPS.values() for name, breakage in group.items()}

__all__ = ["BREAKAGES", "GROUPS", "Breakage", "Patch"]
