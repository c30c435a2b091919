"""`ready --wait`: until somebody else's download is done, or the time is over."""

from __future__ import annotations

import os
import time

import weights
from caches import WEIGHTS, Cache
from catalogue import NEWEST, proof
from ground import ORG, Ground
from hub_stand_in import Fault
from together import wait_for

ID = f"{ORG}/awaited"


@proof(NEWEST)
def waiting(ground: Ground) -> None:
    """Absent, then arriving, then repaired: 0 once it is sound; 75 when the time is over; other answers come at once."""
    cache = Cache(ground, ground.base / "hub")
    cache.path.mkdir(exist_ok=True)
    commit = cache.publish(ID, weights.sidecars("w") | {WEIGHTS: weights.safetensors_file("w", ["w"], 512, 1024)})
    ground.equal(cache.janitor("ready", ID).status, 66, "exit while it is absent")
    over = cache.janitor("ready", ID, "--wait", "1s")
    ground.equal(over.status, 75, f"exit when the time is over: {over}")
    ground.equal(cache.janitor("ready", ID, "--wait", "soon").status, 64, "exit for no time")
    waiter = ground.start([ground.program, "ready", ID, "--wait", "2m", "--cache", cache.path], stdout=-1, text=True)
    fault = ground.servers.faults.add(Fault("hold", origin="cdn", method="GET", after=1 << 17))
    fetch = ground.start([ground.program, "fetch", ID, "--cache", cache.path])
    wait_for(lambda: fault.held, "the transfer")
    time.sleep(1.5)
    ground.equal(waiter.poll(), None, "ready before it is whole")
    fault.released.set()
    ground.equal(fetch.wait(60), 0, "exit of the fetch")
    ground.equal(waiter.wait(30), 0, "exit of the waiting")
    ground.servers.faults.remove()
    os.truncate(cache.blob(ID, commit), 1000)
    waiter = ground.start([ground.program, "ready", ID, "--wait", "2m", "--cache", cache.path], stdout=-1, text=True)
    time.sleep(1.5)
    ground.equal(waiter.poll(), None, "ready although it is cut short")
    repaired = cache.janitor("repair", ID)
    ground.equal(repaired.status, 0, f"exit of {repaired}")
    ground.equal(waiter.wait(30), 0, "exit of the waiting for a repair")
