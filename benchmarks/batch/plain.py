"""Answers the rows of a table without an agent: one by one, or with plain asyncio.

Run in the environment of a generated agent. Without CONCURRENCY, it asks the first rows one by one,
and prints the seconds per row. The very first row is not counted, because it opens the connection.

    OPENAI_BASE_URL=… python plain.py QUESTIONS ANSWERS [CONCURRENCY]
"""

import asyncio
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

LOOP_ROWS = 20  # that the loop asks and counts


def messages(question: str) -> list[ChatCompletionUserMessageParam]:
    """Return a conversation that starts with a question."""
    return [{"role": "user", "content": question}]


def loop(questions: list[str]) -> float:
    """Ask one question after another, and return the seconds per question after the first one."""
    first, *others = questions[: LOOP_ROWS + 1]
    client = OpenAI()
    client.chat.completions.create(model="m", messages=messages(first))
    started_at = time.perf_counter()
    for question in others:
        client.chat.completions.create(model="m", messages=messages(question))
    return (time.perf_counter() - started_at) / len(others)


async def concurrently(questions: list[str], concurrency: int) -> list[str | None]:
    """Ask all questions, so many at the same time, and return the answers."""
    slots = asyncio.Semaphore(concurrency)
    async with AsyncOpenAI() as client:

        async def answer(question: str) -> str | None:
            async with slots:
                completion = await client.chat.completions.create(
                    model="m", messages=messages(question)
                )
            return completion.choices[0].message.content

        return await asyncio.gather(*map(answer, questions))


def main() -> None:
    source, target, *concurrency = sys.argv[1:]
    table = pq.read_table(source)
    questions = table.column("question").to_pylist()
    if not concurrency:
        print(loop(questions))
        return
    answers = asyncio.run(concurrently(questions, int(concurrency[0])))
    assert all("token19" in (answer or "") for answer in answers), answers[:3]
    pq.write_table(table.append_column("answer", pa.array(answers)), target)


if __name__ == "__main__":
    main()
