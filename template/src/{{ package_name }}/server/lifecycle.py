"""What the server's process needs besides answering: a log, a store for traces, and an end."""

import gc
import logging
import multiprocessing
import os
import signal
from threading import Thread

import mlflow

from .logs import tell_once
from .project import ProjectError
from .tracking import use_store

logger = logging.getLogger(__name__)

SECONDS_FOR_TRACES = 10


def log_to_terminal() -> None:
    """Show what the server says of each request, and of others only what is out of order."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger(__package__).setLevel(logging.INFO)
    tell_once()


def store_is_ready() -> bool:
    """Whether traces have somewhere to go; the log says why if they have not."""
    # One that is silent must not keep the server from answering for minutes, as is MLflow's habit.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        use_store()
    except ProjectError as error:
        logger.warning("%s Until the server is started anew, nothing is traced.", error)
        return False
    return True


def store_last_traces() -> None:
    """Wait for the last traces; end the process without them if the store takes too long."""
    storing = Thread(target=mlflow.flush_trace_async_logging, daemon=True)
    storing.start()
    storing.join(SECONDS_FOR_TRACES)
    if storing.is_alive():
        logger.warning("The store took too long with the last traces; they are lost.")
        # All else has ended, and MLflow would wait for the store without end.
        os._exit(0)  # ast-grep-ignore: exit-call


def stop_with_supervisor() -> None:
    """Stop when the process that supervises this one is gone, as nobody else would see to it."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return

    def wait_for_its_end() -> None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)  # ast-grep-ignore: exit-call

    Thread(target=wait_for_its_end, daemon=True).start()


def spare_the_collector() -> None:
    """Keep garbage collection away from what is imported by now, which stays for good.

    Each time it looked through all of that, it held up every caller: the slowest answer in twenty
    took half as long again.
    """
    gc.collect()
    gc.freeze()
