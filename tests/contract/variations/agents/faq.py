"""An agent that calls the functions of MLflow's agent server."""

import mlflow
from mlflow.pyfunc import ResponsesAgent
from weather_agent import faq_handlers


class Faq(ResponsesAgent):
    """Answers from a list of questions."""

    def predict(self, request):
        return faq_handlers.answer(request)

    def predict_stream(self, request):
        yield from faq_handlers.stream_answer(request)


mlflow.models.set_model(Faq())
