import json
import os
from datetime import date

import mlflow
import pandas as pd
from openai import OpenAI
from tabulate import tabulate

from tariffs import offers, parcel_in

client = OpenAI(base_url=os.environ['LLM_URL'], api_key=os.environ['LLM_KEY'])
MODEL = os.environ.get('LLM_MODEL', 'gpt-4o-mini')

SYSTEM_PROMPT = """You work at a parcel desk. You tell customers what a parcel costs.
Name the cheapest offer first. Use only the offers that you are given; when there are none, ask for the weight in
kg and for the country. Answer in two sentences at most."""


class ParcelAgent(mlflow.pyfunc.PythonModel):
    def __init__(self):
        self.history = []

    @mlflow.trace(name='parcel desk')
    def predict(self, context, model_input, params=None):
        if isinstance(model_input, pd.DataFrame):
            messages = list(model_input['messages'].iloc[0])
        else:
            messages = model_input['messages']
        question = messages[-1]['content']
        print('question:', question)
        self.history.append(question)

        with open('data/tariffs.json') as f:
            tariffs = json.load(f)
        parcel = parcel_in(question, tariffs)
        found = offers(parcel, tariffs, date.today()) if parcel else []

        prompt = SYSTEM_PROMPT + '\n\nThe offers:\n' + tabulate(found, headers='keys')
        prompt += '\n\nAsked before: ' + '; '.join(self.history[:-1])
        try:
            completion = client.chat.completions.create(
                model=MODEL,
                messages=[{'role': 'system', 'content': prompt}] + messages,
            )
            text = completion.choices[0].message.content
        except Exception as e:
            print('LLM failed:', e)
            text = f'Sorry, something went wrong: {e}'
        return {
            'choices': [
                {
                    'index': 0,
                    'message': {'role': 'assistant', 'content': text},
                    'finish_reason': 'stop',
                }
            ],
            'offers': found,
        }
