"""Mistakes in tools."""

from tests.contract.breakages.changes import Patch, breaks, in_agent, in_answer, new_file, tool

MODELS = """
class Stay(BaseModel):
    city: str
    nights: int = 1

"""
IMPORT_MODELS = Patch(
    "tools.py",
    "from zoneinfo import ZoneInfo, available_timezones\n",
    "from zoneinfo import ZoneInfo, available_timezones\n\nfrom pydantic import BaseModel\n",
)
IMPORT_TYPING = Patch(
    "tools.py", "from zoneinfo import", "from typing import Literal\nfrom zoneinfo import"
)

TOOLS = {
    # With any arguments
    "a tool that uses a variable of notebooks": breaks(
        "working-tools",
        "The tool count_rows, called with {}, returns: .* name 'spark' is not defined",
        *tool("count_rows", 'def count_rows() -> int:\n    return spark.table("sales").count()'),
    ),
    "a tool that calls a missing method": breaks(
        "working-tools",
        "The tool shout, called with .*'str' object has no attribute 'to_upper'",
        *tool("shout", "def shout(text: str) -> str:\n    return text.to_upper()"),
    ),
    "a tool that imports a missing name": breaks(
        "working-tools",
        'The tool root, called with {"of": 1.5}, returns: .* cannot import name',
        *tool(
            "root",
            "def root(of: float) -> float:\n    from math import square_root\n\n"
            "    return square_root(of)",
        ),
    ),
    "a value of an enumeration that the tool does not know": breaks(
        "working-tools",
        "The tool utc allows the value 'iso', but returns: .*'iso'",
        IMPORT_TYPING,
        *tool(
            "utc",
            'FORMATS = {"short": "%H:%M", "long": "%A, %H:%M"}\n\n\n'
            'def utc(style: Literal["short", "long", "iso"]) -> str:\n'
            '    return datetime.now(ZoneInfo("UTC")).strftime(FORMATS[style])',
        ),
    ),
    "a tool whose result has too many digits": breaks(
        "working-tools",
        "The tool power, called with .*, returns: .*Exceeds the limit",
        Patch(
            "tools.py",
            "from datetime import",
            "from typing import Annotated\nfrom pydantic import Field\nfrom datetime import",
        ),
        *tool(
            "power",
            "def power(exponent: Annotated[int, Field(ge=0, le=50000)]) -> str:\n"
            "    return str(2**exponent)",
        ),
    ),
    "a tool that fails for December": breaks(
        "working-tools",
        "The tool last_day, called with .*which its schema allows, returns: .*month must be in",
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "from datetime import date, datetime, timedelta\nfrom typing import Annotated\n"
            "from pydantic import Field\n",
        ),
        *tool(
            "last_day",
            "def last_day(month: Annotated[int, Field(ge=1, le=12)]) -> str:\n"
            "    return str(date(2026, month + 1, 1) - timedelta(days=1))",
        ),
    ),
    "a time in the zone of the machine": breaks(
        "working-tools",
        "The tool opens returns .* if the machine has another time zone",
        *tool(
            "opens",
            'def opens() -> str:\n    """Tell when the museum opens today."""\n'
            "    now = datetime.now().replace(hour=9, minute=0, second=0, microsecond=0)\n"
            "    return f\"It opens at {now.astimezone(ZoneInfo('Asia/Tokyo')):%H:%M}\"",
        ),
    ),
    "a tool that fails in the last hour of a day in a zone": breaks(
        "working-tools",
        "On 31 December, .* UTC, the tool next_hour returns: .*hour must be in",
        *tool(
            "next_hour",
            'def next_hour(zone: str) -> str:\n    """Tell the next hour.\n\n    Args:\n'
            '        zone: A time zone, such as Asia/Tokyo.\n    """\n'
            "    now = datetime.now(ZoneInfo(zone))\n"
            '    return f"{now.replace(hour=now.hour + 1):%H:00}"',
        ),
    ),
    "a tool that fails for a birthday on 29 February": breaks(
        "working-tools",
        "The tool birthday, called with .*which its schema allows, returns: .*day is out of range",
        *tool("birthday", "def birthday(born: date) -> date:\n    return born.replace(year=2026)"),
    ),
    "a tool that fails on 29 February": breaks(
        "working-tools",
        "On 29 February, 12:00 UTC, the tool renewal returns: .*day is out of range for month",
        *tool(
            "renewal",
            "def renewal() -> str:\n    from datetime import date\n\n"
            "    today = date.today()\n    return today.replace(year=today.year + 1).isoformat()",
        ),
    ),
    "a tool that fails at the end of January": breaks(
        "working-tools",
        "On 31 January, 12:00 UTC, the tool renewal returns: .*day is out of range for month",
        *tool(
            "renewal",
            "def renewal() -> str:\n    from datetime import date\n\n"
            "    today = date.today()\n"
            "    return today.replace(month=today.month % 12 + 1).isoformat()",
        ),
    ),
    "a tool that fails on the first day of a month": breaks(
        "working-tools",
        "On 1 January, 12:00 UTC, the tool yesterday returns: .*day is out of range for month",
        *tool(
            "yesterday",
            "def yesterday() -> str:\n    from datetime import date\n\n"
            "    today = date.today()\n    return today.replace(day=today.day - 1).isoformat()",
        ),
    ),
    "a tool that fails in December": breaks(
        "working-tools",
        "On 31 December, 12:00 UTC, the tool renewal returns: .*month must be in 1..12",
        *tool(
            "renewal",
            "def renewal() -> str:\n    from datetime import date\n\n"
            "    today = date.today()\n"
            "    return today.replace(day=1, month=today.month + 1).isoformat()",
        ),
    ),
    "a tool that fails in the last hour of a day": breaks(
        "working-tools",
        "On 31 December, 23:59 UTC, the tool next_hour returns: .*hour must be in 0..23",
        *tool(
            "next_hour",
            "def next_hour() -> str:\n    from datetime import UTC, datetime\n\n"
            "    now = datetime.now(UTC)\n    return f'{now.replace(hour=now.hour + 1):%H:%M}'",
        ),
    ),
    "a time without AM or PM": breaks(
        "working-tools",
        r"The tool call clock\(\{\}\) returns .*:59 before noon and 12 hours later",
        *tool(
            "clock",
            "def clock() -> str:\n    from datetime import UTC, datetime\n\n"
            "    return f'{datetime.now(UTC):%B %d, %I:%M}'",
        ),
    ),
    "a tool that fails without the zone of one of its times": breaks(
        "working-tools",
        "The tool hours_between, called with .*can't subtract offset-naive and offset-aware",
        *tool(
            "hours_between",
            "def hours_between(start: datetime, end: datetime) -> float:\n"
            "    return (end - start).total_seconds() / 3600",
        ),
    ),
    "a tool that reads the version of the package": breaks(
        "working-tools",
        "The tool about, called with {} in a new process and folder, returns: .*No package "
        "metadata was found for weather-agent",
        *tool(
            "about",
            "def about() -> str:\n    from importlib.metadata import version\n\n"
            "    return version('weather-agent')",
        ),
    ),
    "a tool that calls itself forever": breaks(
        "working-tools",
        "The tool forecast, called with {}, returns: .* maximum recursion depth",
        *tool("forecast", "def forecast() -> str:\n    return forecast()"),
    ),
    "a tool that reads a missing file": breaks(
        "working-tools",
        "The tool cities, called with {}, returns: .*No such file",
        *tool("cities", 'def cities() -> str:\n    return open("cities.csv").read()'),
    ),
    "a tool that needs an event loop in its thread": breaks(
        "working-tools",
        "The tool wait, called with {}, returns: .*no current event loop",
        *tool(
            "wait",
            "def wait() -> None:\n    import asyncio\n\n"
            "    asyncio.get_event_loop().run_until_complete(asyncio.sleep(0))",
        ),
    ),
    "a tool that catches its own mistake": breaks(
        "working-tools",
        "The tool price, called with .*name 'PRICES' is not defined",
        *tool(
            "price",
            "def price(city: str) -> dict[str, str]:\n    try:\n        return PRICES[city]\n"
            '    except Exception as error:\n        return {"error": str(error)}',
        ),
    ),
    "a tool that calls its helper with too few arguments": breaks(
        "working-tools",
        "The tool price, called with .*missing 1 required positional argument",
        *tool(
            "price",
            "def convert(price: float, currency: str) -> float:\n    return price\n\n\n"
            "def price(nights: int) -> float:\n    return convert(nights * 90.0)",
        ),
    ),
    "a tool that does not await": breaks(
        "working-tools",
        "The tool price, called with .*<coroutine object",
        *tool(
            "price",
            "async def load(city: str) -> float:\n    return 90.0\n\n\n"
            'async def price(city: str) -> str:\n    return f"{load(city)} euros"',
        ),
    ),
    "a tool that divides by the default of an argument": breaks(
        "working-tools",
        "The tool share, called with .*division by zero",
        *tool("share", "def share(part: float, of: float = 0) -> float:\n    return part / of"),
    ),
    "a tool that returns an object without fields": breaks(
        "working-tools",
        "The tool price, called with .*<weather_agent.tools.Price object at",
        *tool(
            "price",
            "class Price:\n    def __init__(self, euros: float) -> None:\n"
            "        self.euros = euros\n\n\n"
            "def price(nights: int) -> Any:\n    return Price(nights * 90.0)",
        ),
        Patch("tools.py", "from zoneinfo import", "from typing import Any\nfrom zoneinfo import"),
    ),
    # With some arguments
    "a tool that calls a function of Python with a wrong name": breaks(
        "working-tools",
        "The tool round_up, called with .*missing required argument 'number'",
        *tool(
            "round_up",
            "def round_up(value: float) -> float:\n    return round(value=value, ndigits=1)",
        ),
    ),
    "a tool that takes a text for a time zone": breaks(
        "working-tools",
        "The tool local, called with .*tzinfo argument must be None",
        *tool(
            "local", "def local(zone: str) -> str:\n    return str(datetime.now().astimezone(zone))"
        ),
    ),
    "a tool that needs its optional argument": breaks(
        "working-tools",
        'The tool price, called with {"city": "example"}, returns: .*unsupported operand',
        *tool(
            "price",
            "def price(city: str, nights: int | None = None) -> float:\n    return nights * 90.0",
        ),
    ),
    "a tool that fails for one of its choices": breaks(
        "working-tools",
        'The tool limit, called with {"unit": "F"}, returns: .*name \'to_fahrenheit\' is not',
        *tool(
            "limit",
            'def limit(unit: Literal["C", "F"]) -> float:\n'
            '    return 40.0 if unit == "C" else to_fahrenheit(40.0)',
        ),
        IMPORT_TYPING,
    ),
    "a tool that takes a model for a dictionary": breaks(
        "working-tools",
        "The tool price, called with .*'Stay' object is not subscriptable",
        *tool(
            "price", f'{MODELS}\ndef price(stay: Stay) -> float:\n    return stay["nights"] * 90.0'
        ),
        IMPORT_MODELS,
    ),
    "a tool that takes models in a list for dictionaries": breaks(
        "working-tools",
        "The tool price, called with .*'Stay' object has no attribute 'get'",
        *tool(
            "price",
            f"{MODELS}\ndef price(stays: list[Stay] | None = None) -> float:\n"
            '    return sum(stay.get("nights", 1) * 90.0 for stay in stays or [])',
        ),
        IMPORT_MODELS,
    ),
    "a tool that compares a date with a time": breaks(
        "working-tools",
        "The tool is_past, called with .*can't compare",
        *tool("is_past", "def is_past(day: date) -> bool:\n    return day < datetime.now()"),
    ),
    "a tool that compares times with and without time zones": breaks(
        "working-tools",
        "The tool is_past, called with .*can't compare offset-naive",
        *tool("is_past", "def is_past(time: datetime) -> bool:\n    return time < datetime.now()"),
    ),
    "a cached function with a list": breaks(
        "working-tools",
        "The tool price, called with .*unhashable type: 'list'",
        *tool(
            "price",
            "@cache\ndef total(cities: list[str]) -> float:\n    return len(cities) * 90.0\n\n\n"
            "def price(cities: list[str]) -> float:\n    return total(cities)",
        ),
        Patch(
            "tools.py", "from zoneinfo import", "from functools import cache\nfrom zoneinfo import"
        ),
    ),
    "a tool for ASCII only": breaks(
        "working-tools",
        "The tool code, called with .*Zürich.*codec can't encode",
        *tool("code", 'def code(city: str) -> str:\n    return city.encode("ascii").hex()'),
    ),
    "a tool that formats a text as a number": breaks(
        "working-tools",
        "The tool price, called with .*Unknown format code 'f'",
        *tool("price", 'def price(euros: float) -> str:\n    return f"{str(euros):.2f} euros"'),
    ),
    "a tool that parses a date again": breaks(
        "working-tools",
        "The tool weekday, called with .*argument 1 must be str",
        *tool(
            "weekday",
            "def weekday(day: date) -> str:\n"
            "    return f\"{datetime.strptime(day, '%Y-%m-%d'):%A}\"",
        ),
    ),
    "a tool that returns an image": breaks(
        "working-tools",
        "The tool chart, called with {}, returns: .*invalid utf-8 sequence",
        *tool("chart", 'def chart() -> bytes:\n    return b"\\x89PNG\\r\\n"'),
    ),
    # What servers lack
    "a tool that needs an optional package of pandas": breaks(
        "working-tools",
        "The tool prices, called with {}, returns: .*(Missing optional dependency|Import tabulate)",
        *tool("prices", 'def prices() -> str:\n    return pd.DataFrame([{"a": 1}]).to_markdown()'),
        Patch("tools.py", "from datetime import", "import pandas as pd\nfrom datetime import"),
    ),
    "a tool that needs a locale": breaks(
        "working-tools",
        "The tool price, called with .*unsupported locale setting",
        *tool(
            "price",
            "def price(nights: int) -> str:\n"
            '    locale.setlocale(locale.LC_ALL, "xx_XX.UTF-8")\n'
            "    return locale.currency(nights * 90)",
        ),
        Patch("tools.py", "from datetime import", "import locale\nfrom datetime import"),
    ),
    "a tool with an unknown time zone": breaks(
        "working-tools",
        "The tool local_time, called with {}, returns: .*No time zone found with key CEST",
        *tool(
            "local_time", 'def local_time() -> str:\n    return str(datetime.now(ZoneInfo("CEST")))'
        ),
    ),
    "a tool that asks in the terminal": breaks(
        "working-tools",
        "The tool delete, called with .*(EOF when reading|reading from stdin)",
        *tool("delete", 'def delete(name: str) -> str:\n    return input(f"Delete {len(name)}? ")'),
    ),
    "a tool that ends with a signal": breaks(
        "working-tools",
        "The tool forecast, called with {}, returns: .*signal only works in main thread",
        *tool(
            "forecast",
            "def forecast() -> str:\n    signal.signal(signal.SIGALRM, signal.SIG_DFL)\n"
            '    signal.alarm(10)\n    return "sunny"',
        ),
        Patch("tools.py", "from datetime import", "import signal\nfrom datetime import"),
    ),
    "a tool with certificates of the developer": breaks(
        "working-tools",
        "The tool forecast, called with {}, returns: .*suitable TLS CA certificate bundle",
        *tool(
            "forecast",
            'def forecast() -> str:\n    file = Path.home() / "company.pem"\n'
            '    return requests.get("https://example.com", verify=str(file), timeout=5).text',
        ),
        Patch("tools.py", "from datetime import", "import requests\nfrom datetime import"),
        Patch("tools.py", "from zoneinfo import", "from pathlib import Path\nfrom zoneinfo import"),
    ),
    # Where no arguments get to
    "an undefined name in a rare branch of a tool": breaks(
        "working-tools",
        r"tools.py, line \d+: 'SUNDAY_RATE' is not defined",
        *tool(
            "rate",
            "def rate(day: date) -> str:\n    if day.weekday() == 6 and day.month == 12:\n"
            '        return f"{SUNDAY_RATE} %"\n    return "3 %"',
        ),
    ),
    "an undefined name in a rare branch of the agent": breaks(
        "working-tools",
        r"agent.py, line \d+: 'first_items' is not defined",
        in_answer("if len(request.input) > 1000:\n    request.input = first_items(request.input)"),
    ),
    # Again
    "vouchers that run out": breaks(
        "working-tools",
        "The tool voucher returns A17, but later Error: .*pop from empty list",
        *tool(
            "voucher",
            'VOUCHERS = ["A17", "B22", "C03", "A17"]\n\n\n'
            "def voucher() -> str:\n    return VOUCHERS.pop()",
        ),
    ),
    "a tool that reads an iterator of the module": breaks(
        "working-tools",
        r'The tool cities returns \["Paris".*, but later \[\]|already executing',
        *tool(
            "cities",
            'CITIES = (name.title() for name in ("paris", "tokyo"))\n\n\n'
            "def cities() -> list[str]:\n    return list(CITIES)",
        ),
    ),
    "a tool that awaits a cached coroutine": breaks(
        "working-tools",
        "The tool forecast, called with .*cannot reuse already awaited coroutine",
        *tool(
            "forecast",
            '@cache\nasync def load() -> str:\n    return "sunny"\n\n\n'
            "async def forecast(city: str) -> str:\n    return await load()",
        ),
        Patch(
            "tools.py", "from zoneinfo import", "from functools import cache\nfrom zoneinfo import"
        ),
    ),
    "a client that a tool closes": breaks(
        "working-tools",
        "The tool forecast, called with .*(Cannot reopen|has been closed)",
        *tool(
            "forecast",
            "CLIENT = httpx.Client()\n\n\n"
            "def forecast() -> str:\n    with CLIENT:\n        return str(CLIENT.headers)[:10]",
        ),
        Patch("tools.py", "from datetime import", "import httpx\nfrom datetime import"),
    ),
    # In other threads and processes
    "a database connection of the thread that imports": breaks(
        "working-tools",
        "The tool price, called with .*created in a thread",
        *tool(
            "price",
            'DATABASE = sqlite3.connect(":memory:")\n\n\n'
            'def price() -> str:\n    return str(DATABASE.execute("SELECT 90").fetchone())',
        ),
        Patch("tools.py", "from datetime import", "import sqlite3\nfrom datetime import"),
    ),
    "a database connection of the first call": breaks(
        "working-tools",
        "The tool price, called with {}.* returns: .*created in a thread",
        *tool(
            "price",
            "@cache\ndef database() -> sqlite3.Connection:\n"
            '    return sqlite3.connect(":memory:")\n\n\n'
            'def price() -> str:\n    return str(database().execute("SELECT 90").fetchone())',
        ),
        Patch("tools.py", "from datetime import", "import sqlite3\nfrom datetime import"),
        Patch(
            "tools.py", "from zoneinfo import", "from functools import cache\nfrom zoneinfo import"
        ),
    ),
    "a database connection kept in the module": breaks(
        "working-tools",
        "The tool price, called with .* returns: .*created in a thread",
        *tool(
            "price",
            "_database = None\n\n\ndef price(city: str) -> str:\n    global _database\n"
            "    if _database is None:\n        _database = sqlite3.connect(':memory:')\n"
            '    return str(_database.execute("SELECT 90").fetchone())',
        ),
        Patch("tools.py", "from datetime import", "import sqlite3\nfrom datetime import"),
    ),
    "a tool that lists a folder of the repository": breaks(
        "working-tools",
        "The tool guides, called with {} in a new process and folder, returns: .*No such file",
        *tool(
            "guides",
            'def guides() -> list[str]:\n    return [one.name for one in Path("docs").iterdir()]',
        ),
        Patch("tools.py", "from zoneinfo import", "from pathlib import Path\nfrom zoneinfo import"),
    ),
    "a tool that opens a database of the repository": breaks(
        "working-tools",
        "The tool price, called with {} in a new process and folder, returns: .*unable to open",
        new_file("docs/prices.db", ""),
        *tool(
            "price",
            "def price() -> str:\n"
            '    with sqlite3.connect("docs/prices.db") as database:\n'
            '        return str(database.execute("SELECT 90").fetchone())',
        ),
        Patch("tools.py", "from datetime import", "import sqlite3\nfrom datetime import"),
    ),
    # In another order
    "a cache whose key lacks an argument": breaks(
        "working-tools",
        "The tool forecast, called with .* returns .*, depending on the calls before it",
        *tool(
            "forecast",
            "_forecasts: dict[str, str] = {}\n\n\n"
            "def forecast(city: str, days: int = 3) -> str:\n"
            "    if city not in _forecasts:\n"
            '        _forecasts[city] = f"{city}: sunny for {days} days"\n'
            "    return _forecasts[city]",
        ),
    ),
    "a connection that remembers the unit of an earlier call": breaks(
        "working-tools",
        "The tool temperature, called with .* returns .*, depending on the calls before it",
        *tool(
            "temperature",
            "_settings: dict[str, str] = {}\n\n\n"
            "def temperature(celsius: float, unit: Literal['C', 'F'] | None = None) -> str:\n"
            "    unit = _settings.setdefault('unit', unit or 'C')\n"
            "    return f\"{celsius if unit == 'C' else celsius * 9 / 5 + 32:.1f} °{unit}\"",
        ),
        IMPORT_TYPING,
    ),
    # In another process
    "a number from the hash of a text": breaks(
        "working-tools",
        "The tool ticket, called with {.*}, returns .*, but .* in another process",
        *tool("ticket", 'def ticket(subject: str) -> str:\n    return f"T-{abs(hash(subject))}"'),
    ),
    "the order of a set": breaks(
        "working-tools",
        "The tool places, called with {.*}, returns .*, but .* in another process",
        *tool(
            "places",
            "def places(limit: int) -> list[str]:\n"
            '    names = {zone.rpartition("/")[2] for zone in available_timezones()}\n'
            "    return list(names)[:limit]",
        ),
    ),
    # Tools that are never called
    "one round": breaks(
        "callable-tools",
        "`tool_choice` is none",
        Patch("config.yml", "max_rounds: 8\n", "max_rounds: 1\n"),
    ),
    "tool calls of earlier turns counted": breaks(
        "callable-tools",
        "After 15 turns with tool calls, the LLM may not call current_time",
        in_agent(
            "may_call=rounds < self.config.max_rounds",
            "may_call=sum(one.type == 'function_call' for one in request.input) < 10",
        ),
    ),
    "tools that are offered only in the last round": breaks(
        "callable-tools",
        "`tool_choice` is none",
        in_agent("rounds < self.config.max_rounds", "rounds > self.config.max_rounds"),
    ),
}
