import mlflow
from mlflow.models import ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema

from agent import ParcelAgent

message = Object([Property('role', DataType.string), Property('content', DataType.string)])
signature = ModelSignature(
    inputs=Schema([ColSpec(Array(message), 'messages')]),
    outputs=Schema([ColSpec(DataType.string, 'choices'), ColSpec(DataType.string, 'offers')]),
)

mlflow.set_tracking_uri('sqlite:///mlflow.db')
mlflow.set_experiment('parcel-desk')

with mlflow.start_run():
    info = mlflow.pyfunc.log_model(
        artifact_path='agent',
        python_model=ParcelAgent(),
        signature=signature,
        code_paths=['agent.py', 'tariffs.py'],
        pip_requirements=['mlflow', 'openai', 'pandas', 'tabulate'],
        input_example={'messages': [{'role': 'user', 'content': 'What does 2.5 kg to Norway cost?'}]},
        registered_model_name='parcel-desk',
    )
print(info.model_uri)
