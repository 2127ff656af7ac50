"""The agent under test, as those see it who call it."""

from typing import Any

from mlflow.pyfunc import PyFuncModel

Request = dict[str, Any]
Item = dict[str, Any]
Event = dict[str, Any]


class LoadedAgent:
    """A logged agent, loaded as a server loads it."""

    def __init__(self, model: PyFuncModel) -> None:
        self.model = model

    @property
    def instance(self) -> Any:
        """What the agent's file gave to `set_model`; a ResponsesAgent, if all is well."""
        try:
            return self.model.get_raw_model()
        except NotImplementedError:
            return self.model.unwrap_python_model()

    def predict(self, request: Request) -> dict[str, Any]:
        """The whole answer: `output`, a list of items, and perhaps `custom_outputs`."""
        answer: Any = self.model.predict(request)
        return answer

    def output(self, request: Request) -> list[Item]:
        """The items of the answer."""
        return self.predict(request)["output"]

    def stream(self, request: Request) -> list[Event]:
        """The events of the streamed answer."""
        events: list[Any] = list(self.model.predict_stream(request))
        return events


def done_items(events: list[Event]) -> list[Item]:
    """The items that a stream finished, in their order."""
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def text_of(item: Item) -> str:
    """What an item says to the user; nothing unless it is a message."""
    parts = item["content"] if item["type"] == "message" else []
    return "".join(part.get("text", "") for part in parts)
