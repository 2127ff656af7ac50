"""Makes a process with this folder on its PYTHONPATH print its number of tasks on SIGUSR1."""

import asyncio
import signal


def print_task_count(_signal, _frame):
    print("asyncio tasks:", len(asyncio.all_tasks()), flush=True)


signal.signal(signal.SIGUSR1, print_task_count)
