#!/usr/bin/python3
"""Three waiters as greenlets (Debian's python3-greenlet): nothing of gmr is in this program, `gmr report` finds them from outside."""
import os
import time

import greenlet

kitchen = greenlet.getcurrent()


def bring(dish):
    kitchen.switch(dish)


def serve(table, dishes):
    while True:
        for dish in dishes:
            bring(f"{dish} to table {table}")


waiters = [greenlet.greenlet(serve) for _ in range(3)]
for number, waiter in enumerate(waiters, 1):
    waiter.switch(number, ["soup", "fish", "tea"][:number])
print(f"waiters: pid {os.getpid()} is ready", flush=True)
while True:
    time.sleep(1000)
