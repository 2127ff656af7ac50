import csv
import os

import mlflow
from langchain_openai import ChatOpenAI
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    ResponsesAgentResponse,
    output_to_responses_items_stream,
    to_chat_completions_input,
)

from graph import build_graph
from tools import TOOLS

mlflow.langchain.autolog()


class SowingGuide(ResponsesAgent):
    def load_context(self, context):
        settings = context.model_config
        with open(context.artifacts['sowing']) as file:
            rows = list(csv.DictReader(file))
        llm = ChatOpenAI(
            model=settings['model'],
            temperature=settings['temperature'],
            max_tokens=settings['max_tokens'],
            base_url=os.environ['LLM_URL'],
            api_key=os.environ['LLM_KEY'],
        )
        self.steps = settings['max_steps']
        self.graph = build_graph(llm, TOOLS, settings['prompt'], rows, settings['last_frost'])

    def predict(self, request):
        events = self.predict_stream(request)
        items = [one.item for one in events if one.type == 'response.output_item.done']
        return ResponsesAgentResponse(output=items)

    def predict_stream(self, request):
        messages = to_chat_completions_input([item.model_dump() for item in request.input])
        limits = {'recursion_limit': 2 * self.steps}
        for update in self.graph.stream({'messages': messages}, limits, stream_mode='updates'):
            for state in update.values():
                yield from output_to_responses_items_stream(state.get('messages', []))


mlflow.models.set_model(SowingGuide())
