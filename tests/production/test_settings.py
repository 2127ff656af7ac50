"""The section `serving` of `config.yml`."""

import pytest
from pydantic import ValidationError

from tests.conftest import Package


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"environment": {"llm": "x"}}, "should match pattern"),
        ({"environment": {"OPENAI_API_KEY": "sk-1"}}, "must be a reference such as {{secrets/"),
        ({"environment": {"MODE": "{{secrets/scope}}"}}, "must be a reference such as {{secrets/"),
        ({"workload_size": "Huge"}, "'Small', 'Medium' or 'Large'"),
        ({"name": "-agent"}, "should match pattern"),
        ({"name": "a" * 64}, "should match pattern"),
        ({"scale_to_zero": "yes"}, "should be a valid boolean"),
        ({"scale_to_zeros": True}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_model_serving_refuses_are_rejected(
    package: Package, settings: dict[str, object], problem: str
) -> None:
    with pytest.raises(ValidationError) as error:
        package("runtime.config").Serving(**settings)
    assert problem in str(error.value)


def test_idle_endpoints_cost_nothing_by_default(package: Package) -> None:
    assert package("runtime.config").Serving().scale_to_zero


def test_secrets_are_references(package: Package) -> None:
    variables = {"OPENAI_API_KEY": "{{secrets/agents/openai}}", "AGENT_LLM": "openai:/gpt-5-mini"}
    assert package("runtime.config").Serving(environment=variables).environment == variables
