import sys

import mlflow
from mlflow.models import ModelSignature, set_signature
from mlflow.models.resources import DatabricksServingEndpoint, DatabricksTable
from mlflow.types.agent import CHAT_AGENT_INPUT_SCHEMA, CHAT_AGENT_OUTPUT_SCHEMA

mlflow.set_experiment('machine-service')

with mlflow.start_run():
    info = mlflow.pyfunc.log_model(
        artifact_path='agent',
        python_model='agent.py',
        code_paths=['tools.py', 'catalogue.py', 'catalogue.csv', 'prompts'],
        pip_requirements=['mlflow>=2.20', 'openai', 'python-dateutil'],
        resources=[
            DatabricksServingEndpoint('databricks-meta-llama-3-3-70b-instruct'),
            DatabricksTable('main.service.visits'),
        ],
        input_example={'messages': [{'role': 'user', 'content': 'Which seal fits a Crema 2?'}]},
    )
# The portal's gateway refused the model without it.
set_signature(info.model_uri, ModelSignature(CHAT_AGENT_INPUT_SCHEMA, CHAT_AGENT_OUTPUT_SCHEMA))
print(info.model_uri)

if '--dry-run' not in sys.argv:
    mlflow.register_model(info.model_uri, 'main.service.machine_service')
