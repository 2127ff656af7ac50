"""Prints the stacks of all threads at intervals: `verify` reads there which function hangs."""

import faulthandler
import os
import threading

INTERVAL = 20  # seconds
TITLE = b"Stacks:\n"


def print_stacks_regularly(file: int) -> None:
    """Print the stacks to a file descriptor until the process ends, in a thread.

    The timer of faulthandler reads the stacks of running threads, which can end the process. So it
    prints only while the thread cannot, because a function holds the lock of Python, such as the
    search of a regular expression.
    """
    threading.Thread(target=_print_stacks_regularly, args=(file,), daemon=True).start()


def _print_stacks_regularly(file: int) -> None:
    never = threading.Event()
    while True:
        faulthandler.dump_traceback_later(2 * INTERVAL, repeat=True, file=file)
        never.wait(INTERVAL)
        os.write(file, TITLE)
        faulthandler.dump_traceback(file)
