"""What pkgcache promises, and whether a run reached it. No exit status depends on it."""
from typing import NamedTuple

from contestants import DCP, OURS, OURS_DIGESTS, OURS_RING, OURS_THREADS, REMOVER, YARDSTICK
from workloads import GROWTH, HOT, RACE, WORKLOADS

FASTEST_PEER = 'the fastest peer'
BEST_BY_HAND = 'the best by hand'
SMALLER_TREE = '20,000 files'
LARGER_TREE = '1,000,000 files'
REACHED, MISSED, NOT_MEASURED = 'reached', 'not reached', 'not measured'


class Promise(NamedTuple):
    """The wall time of a tool is at most so much of another's; for growth, the time per file."""
    workload: str
    tool: str
    against: str
    at_most: float


PROMISES = (
    Promise('small', OURS, YARDSTICK, 0.26),
    Promise('small', OURS, FASTEST_PEER, 0.95),
    Promise('mixed', OURS, YARDSTICK, 0.27),
    Promise('mixed', OURS, FASTEST_PEER, 0.95),
    Promise('reflink', OURS, YARDSTICK, 0.55),
    Promise('reflink', OURS, FASTEST_PEER, 0.95),
    Promise('large', OURS, YARDSTICK, 0.65),
    Promise('slow', OURS, YARDSTICK, 0.035),
    Promise('slow', OURS, DCP, 0.25),
    Promise('slow-large', OURS, YARDSTICK, 0.35),
    Promise('cold', OURS, YARDSTICK, 0.28),
    Promise('cold', OURS, FASTEST_PEER, 0.60),
    Promise('small', OURS_DIGESTS, OURS, 1.15),
    Promise('mixed', OURS_DIGESTS, OURS, 1.15),
    Promise('removal', OURS, REMOVER, 0.90),
    *(Promise(workload.name, OURS_THREADS, OURS_RING, 1.05) for workload in WORKLOADS
      if workload.kind == RACE and workload.caches == HOT),
    *(Promise(f'sweep-{name}', OURS, BEST_BY_HAND, 1.10)
      for name in ('small', 'slow', 'large', 'cold')),
    Promise('growth', LARGER_TREE, SMALLER_TREE, 1.30),
)


def is_peer(name):
    """Whether a contestant of a race is none of ours."""
    return name not in (OURS, OURS_RING, OURS_THREADS, OURS_DIGESTS)


def median_of(tools, name):
    """Its median in seconds; None when it has none."""
    return tools.get(name, {}).get('median_s')


def fastest(tools, among=lambda name: True):
    """The (median, name) of the fastest among these; None when there is none."""
    medians = [(tool['median_s'], name) for name, tool in tools.items()
               if 'median_s' in tool and among(name)]
    return min(medians, default=None)


def sides(promise, measured):
    """What a promise compares: two times, None where one is missing; and who the second is."""
    tools = measured['tools']
    if promise.against == BEST_BY_HAND:
        best = fastest(measured['final'], lambda name: name != OURS)
        return median_of(measured['final'], OURS), *(best or (None, ''))
    if promise.against == FASTEST_PEER:
        return median_of(tools, promise.tool), *(fastest(tools, is_peer) or (None, ''))
    if measured['kind'] != GROWTH:
        return median_of(tools, promise.tool), median_of(tools, promise.against), promise.against
    return per_file(tools, promise.tool), per_file(tools, promise.against), promise.against


def per_file(tools, name):
    """Seconds a file, where records know how many there were."""
    tool = tools.get(name, {})
    return tool['median_s'] / tool['files'] if 'median_s' in tool else None


def judge(workloads):
    """Each promise beside what was measured."""
    judged = []
    for promise in PROMISES:
        if promise.workload not in workloads:
            continue
        ours, theirs, who = sides(promise, workloads[promise.workload])
        ratio = ours / theirs if ours and theirs else None
        if ratio is None:
            verdict = NOT_MEASURED
        else:
            verdict = REACHED if ratio <= promise.at_most else MISSED
        judged.append({**promise._asdict(), 'measured': ratio, 'who': who, 'verdict': verdict})
    return judged
