"""The offline LLM answers, so these tests run anywhere and always agree."""

from datetime import date

from mlflow.types.responses import ResponsesAgentRequest

from sowing_guide.agent import AGENT, GRAPH, ROWS


def test_the_answer_comes_from_the_graph() -> None:
    question = {"role": "user", "content": "When do I sow a pumpkin?"}
    response = AGENT.predict(ResponsesAgentRequest.model_validate({"input": [question]}))
    assert response.output[-1].model_dump()["content"][0]["text"]
    assert {"look_up", "write", "tools"} <= GRAPH.nodes.keys()


def test_the_shelf_and_the_settings_are_those_of_the_old_model() -> None:
    assert len(ROWS) == 4
    assert AGENT.config.llm_options == {"temperature": 0.3, "max_tokens": 400}
    assert AGENT.config.last_frost == date(2026, 5, 15)
    assert (AGENT.config.max_rounds, GRAPH.config["recursion_limit"]) == (6, 12)
