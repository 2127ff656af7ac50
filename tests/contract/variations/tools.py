"""Sound tools."""

from tests.contract.breakages.changes import (
    RUN_IN_THREAD,
    Patch,
    in_agent,
    in_answer,
    new_file,
    run_tools_together,
    tool,
    tools_file,
)

TOOLS: dict[str, tuple[Patch, ...]] = {
    "no tools": (tools_file('"""The tools."""\n\nTOOLS = []\n'),),
    "programs that the image contains": (
        *tool(
            "count",
            '''
def count(text: str) -> str:
    """Count the lines of a text, with the version of git that counts them."""
    import subprocess

    version = subprocess.check_output(["git", "--version"], text=True)
    return version + subprocess.run(["wc", "-l"], input=text, capture_output=True, text=True).stdout
''',
        ),
        Patch("Dockerfile", "USER 10001", "RUN apt-get install --yes git\nUSER 10001"),
    ),
    "a tool that needs a valid day": tool(
        "day_of_week",
        '''
def day_of_week(year: int, month: int, day: int) -> str:
    """Return the name of a day."""
    import datetime

    return f"{datetime.date(year, month, day):%A}"
''',
    ),
    "a tool with lists and defaults": tool(
        "weigh",
        '''
def weigh(things: list[str], precise: bool = False) -> dict[str, float]:
    """Weigh things."""
    return {thing: 1.5 if precise else 2.0 for thing in things}
''',
    ),
    "a tool with arguments of many types": (
        *tool(
            "furnish",
            '''
class Item(BaseModel):
    """A piece of furniture."""

    name: str
    size: tuple[float, float]


class Place(NamedTuple):
    """A place in a room."""

    x: float
    y: float


class Style(Enum):
    OLD = "old"
    NEW = "new"


def furnish(
    items: list[Item],
    places: dict[str, Place],
    style: Style | None,
    finish: Literal["matt", "gloss"],
    ids: tuple[int, ...] = (),
    notes: str | None = None,
) -> str:
    """Furnish a room."""
    return f"{style} {finish}"
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            """from datetime import date, datetime
from enum import Enum
from typing import Literal, NamedTuple
""",
        ),
        Patch(
            "tools.py",
            "from zoneinfo import ZoneInfo, available_timezones\n",
            """from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel
""",
        ),
    ),
    "a tool that raises an exception": tool(
        "book",
        '''
def book(day: str) -> str:
    """Book a day."""
    raise PermissionError(f"{day} is not available. Ask for another day.")
''',
    ),
    "tools that fail because of their input or environment": (
        *tool(
            "constant, find_number, call_service, service_token",
            '''
def constant(name: str) -> float:
    """Return a constant of mathematics."""
    return getattr(math, name)


def find_number(text: str) -> str:
    """Find a number."""
    return re.search("[0-9]+", text).group()


def call_service() -> str:
    """Call a service."""
    raise ConnectionRefusedError("The service is unreachable.")


def service_token() -> str:
    """Return the length of the token of a service."""
    return str(len(os.environ["NO_SUCH_TOKEN"]))
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "import math\nimport os\nimport re\nfrom datetime import date, datetime\n",
        ),
    ),
    "tools that fail because of their arguments": (
        *tool(
            "calculate, read_note, first_word, page, choose_method",
            '''
def calculate(formula: str) -> str:
    """Calculate."""
    return str(eval(formula, {"__builtins__": {}}))


def read_note(title: str, folder: str = "notes") -> str:
    """Read a note."""
    return Path(tempfile.gettempdir(), f"{slug(title)}.md").read_text()


def slug(title: str) -> str:
    """Return a title in ASCII."""
    return title.casefold().encode("ascii", "ignore").decode() or "untitled"


def first_word(words: list[str], index: int = 0) -> str:
    """Return a word."""
    return words[index]


def page(number: int) -> str:
    """Read a page."""
    return Path(tempfile.gettempdir(), f"page_{number}.md").read_text()


def choose_method(method: str) -> str:
    """Call a method of texts."""
    return getattr("text", f"to_{method}")()
''',
        ),
        Patch(
            "tools.py", "from zoneinfo", "import tempfile\nfrom pathlib import Path\nfrom zoneinfo"
        ),
    ),
    "a tool with an optional date": tool(
        "due",
        '''
def due(day: date | None = None, days: int = 0) -> str:
    """Tell when something is due."""
    return f"{day or date.today()} and {days} days"
''',
    ),
    "a tool with side effects that tests never call": (
        *tool(
            "send_mail",
            '''
MAIL_SERVER = object()


def send_mail(text: str) -> str:
    """Send a mail."""
    return MAIL_SERVER.send(text)
''',
        ),
        Patch("tests/conftest.py", "...] = ()", '...] = ("send_mail",)'),
    ),
    "a database connection per thread": (
        *tool(
            "orders",
            '''
LOCAL = threading.local()


def orders(city: str) -> str:
    """Count orders."""
    if not hasattr(LOCAL, "database"):
        LOCAL.database = sqlite3.connect(":memory:")
    return str(LOCAL.database.execute("SELECT 90").fetchone()[0])
''',
        ),
        Patch("tools.py", "from zoneinfo", "import sqlite3\nimport threading\nfrom zoneinfo"),
    ),
    "a tool that returns a long text": tool(
        "read_page",
        '''
def read_page(number: int) -> str:
    """Read a page of the handbook."""
    return f"Page {number}. " + "This page is empty. " * 500
''',
    ),
    "an asynchronous tool": (
        *tool(
            "lend",
            '''
async def lend(book: str) -> str:
    """Lend a book.

    Args:
        book: Its title.
    """
    await asyncio.sleep(0)
    return f"{book} is yours."
''',
        ),
        Patch("tools.py", "from datetime import date", "import asyncio\nfrom datetime import date"),
    ),
    "tools that run in asyncio's threads": (
        Patch(
            "runtime/toolbox.py",
            RUN_IN_THREAD,
            'await asyncio.to_thread(adapter.validate_json, arguments or "{}")',
        ),
        Patch("runtime/toolbox.py", "from anyio import CapacityLimiter, to_thread\n", ""),
        Patch("runtime/toolbox.py", "import inspect\n", "import asyncio\nimport inspect\n"),
    ),
}

# They share a run; the last one changes the line before which the others add their imports.
MORE_TOOLS: dict[str, tuple[Patch, ...]] = {
    "tools that run concurrently": (
        Patch("agent.py", "import json\n", "import asyncio\nimport json\n"),
        run_tools_together(
            "for call, output in zip(calls, await asyncio.gather(*runs), strict=True):"
        ),
    ),
    "a tool with chance": tool(
        "toss_coin",
        '''
def toss_coin() -> str:
    """Toss a coin."""
    import random

    return random.choice(["heads", "tails"])
''',
    ),
    "a table by year": tool(
        "rainy_days",
        '''
def rainy_days() -> dict[int, int]:
    """Return the number of rainy days by year."""
    return {year: 100 + year % 7 for year in range(1990, 2020)}
''',
    ),
    "sessions of a conference that is over": tool(
        "upcoming_sessions",
        '''
def upcoming_sessions() -> list[str]:
    """List the sessions that are not over."""
    sessions = {"Keynote": date(2019, 5, 2), "Workshop": date(2019, 5, 3)}
    return [name for name, day in sessions.items() if day >= date.today()]
''',
    ),
    "a pattern that only Pydantic knows": tool(
        "greet",
        '''
def greet(name: typing.Annotated[str, pydantic.Field(pattern=r"^\\p{Lu}\\p{L}+$")]) -> str:
    """Greet a person by name."""
    return f"Good day, {name}!"
''',
    ),
    "embeddings of an endpoint on Databricks": (
        *tool(
            "similarity",
            '''
def similarity(text: str) -> float:
    """Compare a text with the question that users ask most."""
    import os

    import httpx

    url = f"{os.environ['DATABRICKS_HOST']}/serving-endpoints/databricks-gte-large-en/invocations"
    headers = {"authorization": f"Bearer {os.environ['DATABRICKS_TOKEN']}"}
    body = {"input": [text, "When do you open?"]}
    response = httpx.post(url, json=body, headers=headers, timeout=30)
    first, second = (one["embedding"] for one in response.raise_for_status().json()["data"])
    return sum(map(lambda pair: pair[0] * pair[1], zip(first, second)))
''',
        ),
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources:\n  serving_endpoint: [databricks-gte-large-en]\n",
        ),
    ),
    "methods of a class as tools": (
        *tool(
            "SHOP.find_product, SHOP.list_products",
            '''
class Shop:
    """The products of a shop, read once."""

    def __init__(self, products: dict[str, float]) -> None:
        self.products = products

    def find_product(self, name: str) -> str:
        """Find the price of a product.

        Args:
            name: Its name.
        """
        if name not in self.products:
            raise ValueError(f"There is no product {name!r}.")
        return f"{self.products[name]:.2f} EUR"

    def list_products(self, limit: int = 10) -> list[str]:
        """List the products.

        Args:
            limit: How many, at most.
        """
        return sorted(self.products)[: max(limit, 0)]


SHOP = Shop({"lamp": 20.0, "chair": 45.5})
''',
        ),
    ),
    "a cache per user that expires": (
        new_file(
            "src/weather_agent/users.py",
            '''
"""The user of the current request, and what a service knows about each user."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar

current_user: ContextVar[str | None] = ContextVar("current_user", default=None)


class ExpiringCache:
    """A bounded cache with entries that expire."""

    def __init__(self, max_entries: int, seconds: float) -> None:
        self._entries: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()
        self._max_entries = max_entries
        self._seconds = seconds

    def get(self, key: str, load: Callable[[str], str]) -> str:
        """Return the value of a key. Load it if it is missing or too old."""
        with self._lock:
            entry = self._entries.get(key)
        if entry and time.monotonic() < entry[0]:
            return entry[1]
        value = load(key)
        with self._lock:
            self._entries[key] = (time.monotonic() + self._seconds, value)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
        return value


UNITS = ExpiringCache(max_entries=1000, seconds=300)


def preferred_unit() -> str:
    """Tell the unit of temperatures that the user prefers."""
    user = current_user.get()
    if user is None:
        raise LookupError("The user is unknown.")
    return UNITS.get(user, lambda name: "Fahrenheit" if name.endswith("-us") else "Celsius")
''',
        ),
        Patch("tools.py", "TOOLS = [", "TOOLS = [preferred_unit, "),
        Patch(
            "tools.py",
            "from zoneinfo import ZoneInfo, available_timezones\n",
            "from zoneinfo import ZoneInfo, available_timezones\n\n"
            "from .users import preferred_unit\n",
        ),
        in_agent("import TOOLS\n", "import TOOLS\nfrom weather_agent.users import current_user\n"),
        in_answer("current_user.set(request.context.user_id if request.context else None)"),
    ),
    "tools with caches": (
        *tool(
            "exchange_rate, holidays",
            '''
@lru_cache(maxsize=128)
def holidays(year: int, country: str = "DE") -> list[str]:
    """List the holidays of a year."""
    return [f"{year}-01-01 ({country})"]


class Cache:
    """Values that are used for an hour."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.values: dict[str, tuple[float, str]] = {}

    def get(self, key: str, load: Callable[[], str]) -> str:
        with self.lock:
            loaded, value = self.values.get(key, (0.0, ""))
        if not value or monotonic() - loaded > self.seconds:
            value = load()
            with self.lock:
                self.values[key] = monotonic(), value
        return value


RATES = Cache(seconds=3600)


def exchange_rate(currency: str = "USD") -> str:
    """Return the exchange rate of a currency.

    Args:
        currency: Its code.
    """
    return RATES.get(currency, lambda: f"1.1 {currency} per EUR on {date.today()}")
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "import threading\nfrom collections.abc import Callable\n"
            "from datetime import date, datetime\nfrom functools import lru_cache\n"
            "from time import monotonic\n",
        ),
    ),
    "a tool that also runs in notebooks": tool(
        "shell",
        '''
def shell() -> str:
    """Name the shell that runs the tool."""
    try:
        return type(get_ipython()).__name__
    except NameError:
        return "python"
''',
    ),
    "a tool that asks several services in a thread pool": (
        *tool(
            "search_everywhere",
            '''
POOL = ThreadPoolExecutor(max_workers=4, thread_name_prefix="search")


def search_everywhere(text: str) -> list[str]:
    """Search in all services.

    Args:
        text: What to search.
    """
    return list(POOL.map(lambda service: f"{service}: {text}", ["mail", "wiki", "chat"]))
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "from concurrent.futures import ThreadPoolExecutor\n"
            "from datetime import date, datetime\n",
        ),
    ),
    "an asynchronous tool that runs blocking code in a thread": (
        *tool(
            "count_words",
            '''
async def count_words(text: str) -> int:
    """Count words.

    Args:
        text: A text.
    """
    return len(await asyncio.to_thread(text.split))
''',
        ),
        Patch("tools.py", "from datetime import date", "import asyncio\nfrom datetime import date"),
    ),
    "a tool that calls a web API with a key": (
        *tool(
            "forecast",
            '''
@lru_cache(maxsize=1)
def weather_client() -> httpx.Client:
    """Return the client of the weather service, which keeps its connections open."""
    return httpx.Client(base_url="https://weather.invalid", timeout=5)


def forecast(city: str) -> str:
    """Return the forecast for a city.

    Args:
        city: Its name.
    """
    key = os.environ.get("WEATHER_API_KEY")
    if not key:
        raise RuntimeError("The forecast is not configured.")
    response = weather_client().get("/forecast", params={"q": city}, headers={"X-Key": key})
    response.raise_for_status()
    return response.text
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "import os\nfrom datetime import date, datetime\nfrom functools import lru_cache\n",
        ),
        Patch(
            "tools.py",
            "from zoneinfo import ZoneInfo, available_timezones\n",
            "from zoneinfo import ZoneInfo, available_timezones\n\nimport httpx\n",
        ),
    ),
    "a tool about time zones and days": tool(
        "workdays_left",
        '''
def workdays_left(zone: str = "Europe/Berlin") -> str:
    """Count the workdays that are left in this week.

    Args:
        zone: An IANA time zone.
    """
    if zone not in available_timezones():
        raise ValueError(f"There is no time zone {zone!r}.")
    today = datetime.now(ZoneInfo(zone)).date()
    return f"{max(0, 5 - today.weekday())} days after {today.isoformat()}"
''',
    ),
    "tools with enums, dates and nested models": (
        *tool(
            "reserve, remind",
            '''
class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Unit(enum.IntEnum):
    DAY = 1
    WEEK = 7


class Guest(pydantic.BaseModel):
    """A guest."""

    name: typing.Annotated[str, pydantic.Field(min_length=1, description="The full name.")]
    born: date | None = None
    tags: set[str] = set()


def reserve(
    guests: list[Guest],
    start: datetime,
    size: Size = Size.SMALL,
    price: decimal.Decimal | None = None,
    meal: typing.Literal["none", "breakfast"] = "none",
) -> dict[str, typing.Any]:
    """Reserve a table.

    Args:
        guests: Who comes.
        start: When they come.
        size: The size of the table.
        price: The maximum price.
        meal: What they eat.
    """
    names = ", ".join(sorted(guest.name for guest in guests))
    return {"guests": names, "start": start, "size": size, "price": price, "meal": meal}


def remind(
    at: time,
    every: Unit = Unit.DAY,
    after: timedelta = timedelta(hours=1),
    key: uuid.UUID | None = None,
) -> str:
    """Remind the user.

    Args:
        at: The time of the day.
        every: How often.
        after: How long to wait.
        key: The key of an existing reminder.
    """
    return f"{at:%H:%M}, every {every.value} days, after {after}, {key or 'new'}"
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "import decimal\nimport enum\nimport typing\nimport uuid\n"
            "from datetime import date, datetime, time, timedelta\n",
        ),
        Patch(
            "tools.py",
            "from zoneinfo import ZoneInfo, available_timezones\n",
            "from zoneinfo import ZoneInfo, available_timezones\n\nimport pydantic\n",
        ),
    ),
}
