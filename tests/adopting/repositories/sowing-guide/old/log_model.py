import mlflow
from mlflow.models.auth_policy import AuthPolicy, SystemAuthPolicy
from mlflow.models.resources import DatabricksTable

mlflow.set_tracking_uri('sqlite:///mlflow.db')
mlflow.set_experiment('sowing-guide')

with mlflow.start_run():
    info = mlflow.pyfunc.log_model(
        name='agent',
        python_model='agent.py',
        artifacts={'sowing': 'data/sowing.csv'},
        model_config='settings.yml',
        code_paths=['graph.py', 'tools.py'],
        pip_requirements='requirements.txt',
        auth_policy=AuthPolicy(
            system_auth_policy=SystemAuthPolicy([DatabricksTable('main.garden.members')])
        ),
        input_example={'input': [{'role': 'user', 'content': 'When do I sow a pumpkin?'}]},
        registered_model_name='sowing-guide',
    )
print(info.model_uri)
