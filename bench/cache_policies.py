#!/usr/bin/env python3
"""Which entry a full cache gives up: hit rates of five ways on one trace. Prints a table; the figures of docs/concepts/cache.md.

The trace: customers asked for by a zipf law, as a contact centre does, and now and then a scan over customers that nobody asks
for again, as an export or a whole-base job does. Every entry has the same size, so a capacity is a number of entries.

    bench/cache_policies.py [--requests N] [--seed S]
"""
import argparse
import bisect
import collections
import itertools
import random


class Lru:
    def __init__(self, capacity):
        self.capacity = capacity
        self.entries = collections.OrderedDict()

    def get(self, key):
        if key in self.entries:
            self.entries.move_to_end(key)
            return True
        if len(self.entries) >= self.capacity:
            self.entries.popitem(last=False)
        self.entries[key] = True
        return False


class Clock:
    """First in, first out; what was asked for meanwhile gets another round."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.queue = collections.deque()
        self.seen = {}

    def get(self, key):
        if key in self.seen:
            self.seen[key] = True
            return True
        while len(self.queue) >= self.capacity:
            oldest = self.queue.popleft()
            if self.seen[oldest]:
                self.seen[oldest] = False
                self.queue.append(oldest)
            else:
                del self.seen[oldest]
        self.queue.append(key)
        self.seen[key] = False
        return False


class Sieve:
    """Zhang and others, NSDI 2024: a hand goes over the queue, survivors stay where they are."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.older = {}
        self.newer = {}
        self.seen = {}
        self.newest = self.oldest = self.hand = None

    def get(self, key):
        if key in self.seen:
            self.seen[key] = True
            return True
        if len(self.seen) >= self.capacity:
            self.evict()
        self.older[key] = self.newest
        self.newer[key] = None
        if self.newest is not None:
            self.newer[self.newest] = key
        self.newest = key
        if self.oldest is None:
            self.oldest = key
        self.seen[key] = False
        return False

    def evict(self):
        at = self.hand if self.hand is not None else self.oldest
        while self.seen[at]:
            self.seen[at] = False
            at = self.newer[at] if self.newer[at] is not None else self.oldest
        self.hand = self.newer[at]
        older, newer = self.older.pop(at), self.newer.pop(at)
        if older is not None:
            self.newer[older] = newer
        else:
            self.oldest = newer
        if newer is not None:
            self.older[newer] = older
        else:
            self.newest = older
        del self.seen[at]


class S3Fifo:
    """Yang and others, SOSP 2023: newcomers wait in a tenth of the room; who is asked for again, or was lately, comes in."""

    def __init__(self, capacity):
        self.small_room = max(1, capacity // 10)
        self.main_room = capacity - self.small_room
        self.small, self.main = collections.deque(), collections.deque()
        self.ghost = collections.OrderedDict()
        self.count = {}

    def get(self, key):
        if key in self.count:
            self.count[key] = min(3, self.count[key] + 1)
            return True
        self.count[key] = 0
        if key in self.ghost:
            del self.ghost[key]
            self.into_main(key)
        else:
            while len(self.small) >= self.small_room:
                self.leave_small()
            self.small.append(key)
        return False

    def leave_small(self):
        key = self.small.popleft()
        if self.count[key] > 0 or len(self.main) < self.main_room:
            self.count[key] = 0
            self.into_main(key)
            return
        del self.count[key]
        self.ghost[key] = True
        if len(self.ghost) > self.main_room:
            self.ghost.popitem(last=False)

    def into_main(self, key):
        while len(self.main) >= self.main_room:
            oldest = self.main.popleft()
            if self.count[oldest] > 0:
                self.count[oldest] -= 1
                self.main.append(oldest)
            else:
                del self.count[oldest]
        self.main.append(key)


class TinyLfu:
    """Einziger and others, TOS 2017: who was asked for more often stays. Exact counts, halved now and then, for the sketch."""

    def __init__(self, capacity):
        self.window, self.room = collections.OrderedDict(), max(1, capacity // 100)
        self.capacity = capacity
        self.main_room = capacity - self.room
        self.protected_room = self.main_room * 8 // 10
        self.probation, self.protected = collections.OrderedDict(), collections.OrderedDict()
        self.count = collections.Counter()
        self.added = 0

    def get(self, key):
        self.count[key] += 1
        self.added += 1
        if self.added >= 10 * self.capacity:
            self.added //= 2
            self.count = collections.Counter({k: c // 2 for k, c in self.count.items() if c > 1})
        if key in self.window:
            self.window.move_to_end(key)
            return True
        if key in self.protected:
            self.protected.move_to_end(key)
            return True
        if key in self.probation:
            del self.probation[key]
            self.protected[key] = True
            if len(self.protected) > self.protected_room:
                self.probation[self.protected.popitem(last=False)[0]] = True
            return True
        self.window[key] = True
        if len(self.window) > self.room:
            self.admit(self.window.popitem(last=False)[0])
        return False

    def admit(self, candidate):
        if len(self.probation) + len(self.protected) < self.main_room:
            self.probation[candidate] = True
            return
        victims = self.probation if self.probation else self.protected
        victim = next(iter(victims))
        if self.count[candidate] > self.count[victim]:
            del victims[victim]
            self.probation[candidate] = True


WAYS = {"LRU": Lru, "CLOCK": Clock, "SIEVE": Sieve, "S3-FIFO": S3Fifo, "W-TinyLFU": TinyLfu}


def trace(seed, requests, customers, skew, scan_every, scan_length):
    """(key, is of a scan)"""
    source = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank**skew for rank in range(1, customers + 1)))
    names = list(range(customers))
    source.shuffle(names)
    fresh = itertools.count(customers)
    for number in range(requests):
        yield names[bisect.bisect_left(weights, source.random() * weights[-1])], False
        if scan_every and number % scan_every == scan_every - 1:
            for _ in range(scan_length):
                yield next(fresh), True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    customers = 50_000
    print(f"{given.requests} requests for {customers} customers, seed {given.seed}; hit rate of what is no scan, percent")
    print(f"{'skew':>5} {'room':>6} {'scans':>14} " + " ".join(f"{name:>10}" for name in WAYS))
    for skew in (0.8, 1.0):
        for room in (500, 2500, 10_000):
            for scan_every in (0, given.requests // 20):
                scan_length = 2 * room if scan_every else 0
                hits = dict.fromkeys(WAYS, 0)
                caches = {name: way(room) for name, way in WAYS.items()}
                for key, is_scan in trace(given.seed, given.requests, customers, skew, scan_every, scan_length):
                    for name, cache in caches.items():
                        hits[name] += cache.get(key) and not is_scan
                scans = f"20 x {scan_length}" if scan_every else "none"
                rates = " ".join(f"{100 * hits[name] / given.requests:>10.1f}" for name in WAYS)
                print(f"{skew:>5} {room:>6} {scans:>14} {rates}", flush=True)


if __name__ == "__main__":
    main()
