"""The offline LLM answers, so these tests run anywhere and always agree."""

from mlflow.types.responses import ResponsesAgentRequest

from tide_desk.agent import AGENT, ASSISTANT


def test_a_guest_gets_the_price_of_a_berth() -> None:
    question = {"role": "user", "content": "What does a berth for 10 m cost for 7 nights?"}
    response = AGENT.predict(ResponsesAgentRequest.model_validate({"input": [question]}))
    call, output, _ = (item.model_dump() for item in response.output)
    assert call["name"] == "berth_price"
    assert output["output"] == "150.0"


def test_the_assistant_keeps_its_name_and_its_limits() -> None:
    assert ASSISTANT.name == "Tide desk"
    assert AGENT.config.max_rounds == 6
    assert AGENT.config.llm_options == {"temperature": 0.2, "max_tokens": 600}
