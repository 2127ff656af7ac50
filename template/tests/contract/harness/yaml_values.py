"""Finds values in YAML that PyYAML reads differently than they look."""

from collections import Counter
from collections.abc import Iterator

import yaml

KEY, NUMBER = "tag:yaml.org,2002:str", "tag:yaml.org,2002:int"


def misread_values(text: str) -> Iterator[str]:
    """Describe each key that a mapping has twice, and each time that is a number.

    YAML 1.1, which PyYAML reads, takes 10:30 for the number 630 to the base 60.

    Raises:
        yaml.YAMLError: The text is not valid YAML.
    """
    waiting = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            names = Counter(key.value for key, _ in node.value if key.tag == KEY)
            yield from (f"the key {name!r} twice" for name, count in names.items() if count > 1)
            waiting += [one for pair in node.value for one in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif node and node.tag == NUMBER and ":" in node.value:
            yield f"{node.value}, which is the number {yaml.safe_load(node.value)}"
