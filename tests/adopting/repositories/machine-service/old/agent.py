import json
import os
from typing import Any, Generator, Optional
from uuid import uuid4

import mlflow
from dotenv import load_dotenv
from mlflow.entities import SpanType
from mlflow.pyfunc import ChatAgent
from mlflow.types.agent import ChatAgentChunk, ChatAgentMessage, ChatAgentResponse, ChatContext
from openai import OpenAI

from tools import SCHEMAS, TOOLS

load_dotenv()
mlflow.openai.autolog()

ENDPOINT = os.getenv('ENDPOINT', 'databricks-meta-llama-3-3-70b-instruct')
MAX_ROUNDS = 5


class MachineService(ChatAgent):
    def __init__(self):
        self.client = OpenAI(
            base_url=os.environ['DATABRICKS_HOST'] + '/serving-endpoints',
            api_key=os.environ['DATABRICKS_TOKEN'],
        )
        self.prompt = open('prompts/system.md').read()
        self.tools_used = []

    def complete(self, messages):
        return self.client.chat.completions.create(model=ENDPOINT, messages=messages, tools=SCHEMAS)

    def run_tool(self, call):
        print('tool call', call.function.name, call.function.arguments)
        self.tools_used.append(call.function.name)
        try:
            return str(TOOLS[call.function.name](**json.loads(call.function.arguments)))
        except Exception as e:
            return f'Error: {e}'

    @mlflow.trace(span_type=SpanType.AGENT)
    def predict(
        self,
        messages: list[ChatAgentMessage],
        context: Optional[ChatContext] = None,
        custom_inputs: Optional[dict[str, Any]] = None,
    ) -> ChatAgentResponse:
        self.tools_used = []
        new = [chunk.delta for chunk in self.predict_stream(messages, context, custom_inputs)]
        return ChatAgentResponse(messages=new, custom_outputs={'tools_used': self.tools_used})

    @mlflow.trace(span_type=SpanType.AGENT)
    def predict_stream(
        self,
        messages: list[ChatAgentMessage],
        context: Optional[ChatContext] = None,
        custom_inputs: Optional[dict[str, Any]] = None,
    ) -> Generator[ChatAgentChunk, None, None]:
        language = (custom_inputs or {}).get('language', 'English')
        conversation = [{'role': 'system', 'content': f'{self.prompt}\nAnswer in {language}.'}]
        conversation += [m.model_dump(exclude_none=True, exclude={'id'}) for m in messages]
        for _ in range(MAX_ROUNDS):
            message = self.complete(conversation).choices[0].message
            answer = message.model_dump(include={'role', 'content', 'tool_calls'}, exclude_none=True)
            conversation.append(answer)
            if not message.tool_calls:
                yield ChatAgentChunk(delta=ChatAgentMessage(**answer, id=str(uuid4())))
                return
            answer.setdefault('content', '')
            yield ChatAgentChunk(delta=ChatAgentMessage(**answer, id=str(uuid4())))
            for call in message.tool_calls:
                output = {'role': 'tool', 'tool_call_id': call.id, 'content': self.run_tool(call)}
                conversation.append(output)
                yield ChatAgentChunk(
                    delta=ChatAgentMessage(**output, name=call.function.name, id=str(uuid4()))
                )


AGENT = MachineService()
mlflow.models.set_model(AGENT)
