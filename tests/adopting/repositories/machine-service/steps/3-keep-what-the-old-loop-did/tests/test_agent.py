"""The offline LLM answers, so these tests run anywhere and always agree."""

from mlflow.types.responses import ResponsesAgentRequest

from machine_service.agent import AGENT


def test_the_portal_hears_which_tools_were_used() -> None:
    question = {"role": "user", "content": 'Which part is the seal of a "Crema 2"?'}
    response = AGENT.predict(ResponsesAgentRequest.model_validate({"input": [question]}))
    assert response.output[1].model_dump()["output"] == "S-201"
    assert response.custom_outputs == {"tools_used": ["find_part"]}
