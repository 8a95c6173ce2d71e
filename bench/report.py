"""Tables of a run, in Markdown: for its folder, for the terminal, and for docs/performance-log.md."""
import math

import promises
import summary as user_page
from contestants import OURS, REMOVER, YARDSTICK
from measure import BACKENDS, IN_FLIGHT
from workloads import GROWTH, REMOVAL, SWEEP

MIB = 1 << 20


# --- pieces ----------------------------------------------------------------------------------

def table(head, rows, words=1):
    """Lines of a table: so many columns of words, then figures."""
    lines = [' | '.join(head), ' | '.join(['---'] * words + ['---:'] * (len(head) - words))]
    lines += [' | '.join(row) for row in rows]
    return [f'| {line} |' for line in lines] + ['']


def seconds(value):
    """A time with three digits that count; a dash where there is none."""
    if value is None:
        return '–'
    return f'{value:.3f}' if value < 1 else f'{value:.2f}' if value < 10 else f'{value:.1f}'


def ratio(value, against):
    """A ratio; a dash where one side is missing."""
    if value is None or not against:
        return '–'
    return f'{value / against:.3f}' if value < against / 10 else f'{value / against:.2f}'


def plural(number, singular):
    """A count and what is counted."""
    return f'{number:,} {singular}' + ('' if number == 1 else 's')


def describe_file_system(found):
    """Its kind, and where it lies."""
    return found['kind'] + (' in memory' if found['in_memory'] else ' on a disk')


def describe_workload(measured):
    """One sentence: what was copied, from where to where, how often."""
    trees = ', '.join(f'{plural(source["files"], "file")} ({source["bytes"] / MIB:,.0f} MiB)'
                      for source in measured['sources'])
    where = measured['file_systems']
    source = describe_file_system(where['source'])
    slow = f', seen through slowfs {where["slowfs"]}' if 'slowfs' in where else ''
    return (f'{measured["what"][0].upper()}{measured["what"][1:]}: {trees}. From {source}{slow} to '
            f'{describe_file_system(where["target"])}; caches {measured["caches"]}; medians of '
            f'{plural(measured["rounds"], "round")}.')


# --- tables of workloads ---------------------------------------------------------------------

def race_table(measured):
    """All contestants, the fastest first; those that failed last."""
    tools = measured['tools']
    yardstick = promises.median_of(tools, YARDSTICK)
    peer = (promises.fastest(tools, promises.is_peer) or (None, ''))[0]
    rows = []
    for name, tool in sorted(tools.items(), key=lambda item: item[1].get('median_s', float('inf'))):
        if 'failed' in tool:
            rows.append([name, 'failed', '–', '–', '–', '–'])
            continue
        median = tool['median_s']
        rows.append([name, seconds(median), f'{seconds(tool["least_s"])} – {seconds(tool["most_s"])}',
                     seconds(tool['cpu_s']), ratio(median, yardstick), ratio(median, peer)])
    head = ['tool', 'seconds', 'least – most', 'processor seconds', f'of {YARDSTICK}',
            'of the fastest peer']
    failures = [f'`{name}` failed: {tool["failed"]}' for name, tool in tools.items()
                if 'failed' in tool]
    return table(head, rows) + [line for failure in failures for line in (failure, '')]


def sweep_table(measured):
    """Operations in flight by backend; then the best of them against automatic."""
    tools = measured['tools']
    rows = [[str(in_flight), *(seconds(promises.median_of(tools, f'{backend} {in_flight}'))
                               for backend in BACKENDS)] for in_flight in IN_FLIGHT]
    rows.append(['automatic', seconds(promises.median_of(tools, OURS)), ''])
    lines = table(['operations in flight', *(f'{backend}, seconds' for backend in BACKENDS)], rows)
    final = measured['final']
    best = promises.fastest(final, lambda name: name != OURS)
    automatic = promises.median_of(final, OURS)
    if best and automatic:
        lines += [f'Once more, {2 * measured["rounds"] + 1} rounds: automatic {seconds(automatic)} s, '
                  f'the best by hand ({best[1]}) {seconds(best[0])} s: '
                  f'{ratio(automatic, best[0])}.', '']
    lines += [line for name, tool in tools.items() if 'failed' in tool
              for line in (f'`{name}` failed: {tool["failed"]}', '')]
    return lines


def growth_table(measured):
    """Time per file by size of the tree."""
    rows = []
    for name, tool in measured['tools'].items():
        if 'failed' in tool:
            rows.append([f'{name}: failed: {tool["failed"]}', '–', '–'])
            continue
        rows.append([name, seconds(tool['median_s']),
                     f'{tool["median_s"] / tool["files"] * 1e6:.1f}'])
    return table(['tree', 'seconds', 'microseconds a file'], rows)


def removal_table(measured):
    """Who removes, and how much faster."""
    tools = measured['tools']
    against = promises.median_of(tools, REMOVER)
    rows = [[name, seconds(tool['median_s']),
             f'{seconds(tool["least_s"])} – {seconds(tool["most_s"])}',
             ratio(tool['median_s'], against)] for name, tool in tools.items()]
    return table(['tool', 'seconds', 'least – most', f'of {REMOVER}'], rows)


def workload_section(name, measured):
    """Heading, sentence and table."""
    tables = {SWEEP: sweep_table, GROWTH: growth_table, REMOVAL: removal_table}
    return [f'### {name}', '', describe_workload(measured), '',
            *tables.get(measured['kind'], race_table)(measured)]


# --- the whole -------------------------------------------------------------------------------

def promise_table(results):
    """Promised beside measured."""
    rows = []
    for judged in results['promises']:
        against = judged['against']
        if judged['who'] and judged['who'] != against:
            against += f' ({judged["who"]})'
        rows.append([judged['workload'], judged['tool'], against, f'{judged["at_most"]:g}',
                     ratio(judged['measured'], 1), judged['verdict']])
    if not rows:
        return []
    return ['### Promised and measured', '',
            'Ratios of medians; of growth, of the times per file.', '',
            *table(['workload', 'tool', 'against', 'at most', 'measured', ''], rows, words=3)]


def machine_lines(results):
    """What the run was made on, and with what."""
    found = results['machine']
    lines = [f'{results["started"]}, {plural(found["cores"], "core")} ({found["cpu"]}), '
             f'{found["memory_gib"]} GiB, {found["kernel"]}, {found["distribution"]}, revision '
             f'{found["revision"]}; load {found["load_average"]:.1f} before the run. '
             f'The run took {math.ceil(results["took_s"] / 60)} min.', '']
    if found['load_average'] > found['cores'] / 2:
        lines += ['The machine was busy with other things when the run began.', '']
    if results['options']['quick']:
        lines += ['This was a quick run: smaller trees and fewer rounds. Starting a program weighs '
                  'more in it, so a promise is judged by a whole run.', '']
    versions = [[name, tool['version']] for name, tool in results['tools'].items()]
    return lines + table(['tool', 'version'], versions, words=2)


def markdown(results):
    """Everything but the title."""
    lines = machine_lines(results) + promise_table(results)
    for name, measured in results['workloads'].items():
        lines += workload_section(name, measured)
    for name, why in results['skipped'].items():
        lines += [f'`{name}` was skipped: {why}', '']
    return '\n'.join(lines)


def summary(results):
    """A few lines for the terminal: medians by workload, then the promises."""
    lines = []
    for name, measured in results['workloads'].items():
        times = sorted((tool.get('median_s', float('inf')), tool_name)
                       for tool_name, tool in measured['tools'].items())
        shown = ', '.join(f'{tool_name} {"failed" if time == float("inf") else seconds(time)}'
                          for time, tool_name in times[:12])
        lines.append(f'{name}: {shown}')
    lines += [f'{name}: skipped: {why}' for name, why in results['skipped'].items()]
    for judged in results['promises']:
        lines.append(f'{judged["workload"]}: {judged["tool"]} against {judged["against"]}: '
                     f'{ratio(judged["measured"], 1)} of at most {judged["at_most"]:g}: '
                     f'{judged["verdict"]}')
    return '\n'.join(lines)


def write_documents(results):
    """Puts the tables into the log, and from there the results for users into their page."""
    user_page.replace_between(user_page.LOG, user_page.LOG_MARKS, [markdown(results)])
    user_page.write()
