from langchain_core.messages import SystemMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


class State(MessagesState):
    shelf: str


def lines(rows, question):
    """The lines of the shelf for the plants that a question names."""
    named = [row for row in rows if row['plant'].casefold() in question.casefold()]
    line = '{plant}: sow from {from} to {to}, {depth_cm} cm deep'
    return '\n'.join(line.format(**row) for row in named)


def build_graph(llm, tools, prompt, rows, last_frost):
    llm_with_tools = llm.bind_tools(tools)

    def look_up(state):
        return {'shelf': lines(rows, state['messages'][-1].content)}

    def write(state):
        system = f"{prompt}\nThe last frost is on {last_frost}.\nThe shelf:\n{state['shelf']}"
        return {'messages': [llm_with_tools.invoke([SystemMessage(system), *state['messages']])]}

    graph = StateGraph(State)
    graph.add_node('look_up', look_up)
    graph.add_node('write', write)
    graph.add_node('tools', ToolNode(tools))
    graph.add_edge(START, 'look_up')
    graph.add_edge('look_up', 'write')
    graph.add_conditional_edges('write', tools_condition)
    graph.add_edge('tools', 'write')
    return graph.compile()
