from mlflow.genai.agent_server import AgentServer

import tide_desk.agent  # noqa: F401

server = AgentServer('ResponsesAgent', enable_chat_proxy=True)
app = server.app


def main():
    server.run(app_import_string='tide_desk.start_server:app')
