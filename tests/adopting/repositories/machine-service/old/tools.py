from datetime import date

from catalogue import machine


def next_service(machine_name, last_service, cups):
    found = machine(machine_name)
    last = date.fromisoformat(last_service)
    if found.is_due(last, cups, date.today()):
        return 'due now'
    return found.next_service(last, cups, date.today()).isoformat()


def find_part(machine_name, part):
    parts = machine(machine_name).parts
    if part not in parts:
        raise ValueError(f"no {part} for {machine_name}, only {', '.join(parts)}")
    return parts[part]


TOOLS = {'next_service': next_service, 'find_part': find_part}

SCHEMAS = [
    {
        'type': 'function',
        'function': {
            'name': 'next_service',
            'description': 'When a machine needs its next service.',
            'parameters': {
                'type': 'object',
                'properties': {
                    'machine_name': {'type': 'string', 'description': 'The name on the machine'},
                    'last_service': {'type': 'string', 'description': 'Day of the last service, YYYY-MM-DD'},
                    'cups': {'type': 'integer', 'description': 'Cups made since then'},
                },
                'required': ['machine_name', 'last_service', 'cups'],
            },
        },
    },
    {
        'type': 'function',
        'function': {
            'name': 'find_part',
            'description': 'The number of a spare part.',
            'parameters': {
                'type': 'object',
                'properties': {
                    'machine_name': {'type': 'string', 'description': 'The name on the machine'},
                    'part': {'type': 'string', 'enum': ['seal', 'grinder', 'pump']},
                },
                'required': ['machine_name', 'part'],
            },
        },
    },
]
