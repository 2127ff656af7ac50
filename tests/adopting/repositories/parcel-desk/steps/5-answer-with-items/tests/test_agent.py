"""The offline LLM answers, so these tests run anywhere and always agree."""

from mlflow.types.responses import ResponsesAgentRequest

from parcel_desk.agent import AGENT


def test_the_offers_come_with_the_answer() -> None:
    question = {"role": "user", "content": "What does 2.5 kg to Norway cost?"}
    response = AGENT.predict(ResponsesAgentRequest.model_validate({"input": [question]}))
    assert response.custom_outputs is not None
    assert response.custom_outputs["offers"][0]["carrier"] == "Slow Boat"
