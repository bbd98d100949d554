"""Whether a server can be reached, told within seconds."""

import queue
import threading
from urllib.parse import urlsplit

SECONDS = 4  # with TensorFlow to be imported before, less than ten in all


def unreachable(url) -> str | None:
    """Return why the server of `url` does not answer; None if it does.

    Clients of data sets try again and again, and without a network the name of a
    server alone may be looked up for minutes. A look-up has no time limit, so it is
    made in a thread that nobody waits for any longer than `SECONDS`.

    Args:
        url: Of http or https; asked through the proxy of the environment, if any.
    """
    server, answers = urlsplit(url), queue.SimpleQueue()
    root = f"{server.scheme}://{server.netloc}/"
    threading.Thread(target=_ask, args=(root, answers), daemon=True).start()
    try:
        return answers.get(timeout=SECONDS)
    except queue.Empty:
        return f"{server.netloc} does not answer within {SECONDS} seconds"


def _ask(root, answers):
    """Put None once the server has answered, or else what went wrong."""
    import requests

    try:
        requests.head(root, timeout=SECONDS)
    except Exception as error:  # of the address, the network, the proxy, or their names
        reason = getattr(error.args[0] if error.args else None, "reason", error)
        answers.put(str(reason) or type(error).__name__)
    else:
        answers.put(None)
