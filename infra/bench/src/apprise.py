"""Apprise's GroupMe plugin, posting to the simulator. Reads "ROOMS MESSAGES" lines and answers each with "done FAILED".

The plugin is Apprise's own but for its address and its throttle, which is off. For one room there is one service; for
more, one object with a service each, which Apprise notifies side by side on threads: a message then goes to every room.
"""

import sys

import apprise
from apprise.plugins.groupme import NotifyGroupMe

apprise.logger.setLevel("CRITICAL")


class Simulated(NotifyGroupMe):
    """GroupMe, at another address."""

    notify_url = sys.argv[1]
    request_rate_per_sec = 0


def body(n):
    return f"Signal lost on the main stream of studio B; the backup encoder has taken over. Report {n}."


def post(rooms, messages):
    target = apprise.Apprise()
    for n in range(rooms):
        target.add(Simulated(bot_id=f"bot{n}"))
    return sum(not target.notify(body=body(n)) for n in range(messages // rooms))


print("ready", apprise.__version__, flush=True)
for line in sys.stdin:
    rooms, messages = map(int, line.split())
    print("done", post(rooms, messages), flush=True)
