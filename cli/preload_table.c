/* What became of a run: a table for people, one JSON document for programs. */
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/preload.h"

#include <inttypes.h>
#include <string.h>

enum { FAILURES_SHOWN = 50 };

static int name_width(const struct farm_run *run)
{
    size_t width = strlen("node");
    for (size_t i = 0; i < run->node_count; i++)
        width = MAX(width, strlen(run->nodes[i].name));
    return (int)width;
}

static void print_node(const struct farm_run *run, const struct farm_node *node, int width)
{
    char bytes[16];
    char done[48];
    snprintf(done, sizeof(done), "%zu/%zu", node->done, run->variants);
    output_line("%-*s  %9s %7zu %7zu %7zu %10s %8.1f%s%s", width, node->name, done, node->found,
                node->created, node->failed, output_bytes((double)node->bytes, bytes),
                node->seconds, node->why ? "  " : "", node->why ? node->why : "");
}

static void print_totals(const struct farm_run *run)
{
    size_t counts[FARM_FAILED + 1] = {0};
    for (size_t i = 0; i < run->node_count; i++)
        counts[run->nodes[i].state]++;
    output_line("%zu %s: %zu done, %zu failed%s; run %s%s%s%s%s%s", run->node_count,
                output_plural(run->node_count, "node", "nodes"), counts[FARM_DONE],
                counts[FARM_FAILED] + counts[FARM_WAITING] + counts[FARM_RUNNING],
                run->end_s == 0 ? " or under way" : "", run->id, run->fanout ? ", fan-out " : "",
                run->fanout ? run->fanout : "", run->fanout_why ? " (" : "",
                run->fanout_why ? run->fanout_why : "", run->fanout_why ? ")" : "");
}

static void print_failures(const struct options *options, const struct farm_run *run)
{
    for (size_t i = 0; i < run->failure_count && i < FAILURES_SHOWN; i++) {
        const struct farm_failure *failure = &run->failures[i];
        output_error(options, 0, 0, "%s: %s: %s",
                     failure->node == FARM_NO_NODE ? "all nodes" : run->nodes[failure->node].name,
                     failure->variant, failure->why);
    }
    if (run->failure_count > FAILURES_SHOWN)
        output_error(options, 0, 0, "and %zu more failures; --json prints them all",
                     run->failure_count - FAILURES_SHOWN);
}

int preload_print(const struct options *options, const struct farm_run *run, bool is_dry)
{
    int width = name_width(run);
    if (options->json)
        return output_end_document(options, farm_run_write(stdout, run));
    if (options->verbosity >= 0) {
        output_line("%-*s  %9s %7s %7s %7s %10s %8s  %s", width, "node", is_dry ? "has" : "done",
                    "found", "created", "failed", "bytes", "seconds", "why");
        for (size_t i = 0; i < run->node_count; i++)
            print_node(run, &run->nodes[i], width);
        print_totals(run);
    }
    print_failures(options, run);
    return output_end(options, EXIT_DONE);
}
