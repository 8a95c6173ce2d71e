/* The tuner, with machines that are formulas. */
#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/tuner.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct tuner tuner;
static double noise; /* of the rate: 0.1 is a tenth more or less */

/* Completions a second with `value` operations at once. */
typedef double machine(double value);

/* A server that answers after 1 ms, and 60,000 times a second at most. */
static double server_1ms(double value)
{
    return MIN(value * 1000, 60000.0);
}

static double server_20ms(double value)
{
    return MIN(value * 50, 60000.0);
}

/* Threads that pay up to four, and get in each other's way from then on. */
static double contended(double value)
{
    return value <= 4 ? value * 10000 : 40000 - (value - 4) * 1500;
}

/* More threads do nothing, good or bad. */
static double saturated(double value)
{
    return MIN(value, 3.0) * 10000;
}

static double scaling(double value)
{
    return value * 10000;
}

/* Lets time pass, and returns the mean rate of the last half of it. */
static double run(machine *rate_of, double seconds, unsigned seed)
{
    const uint64_t step_ns = NS_PER_MS;
    uint64_t now_ns = NS_PER_S;
    uint64_t steps = (uint64_t)(seconds * 1000);
    double completed = 0;
    double before_half = 0;
    srandom(seed);
    for (uint64_t i = 0; i < steps; i++) {
        double shaken = 1 + noise * (2.0 * (double)random() / RAND_MAX - 1);
        now_ns += step_ns;
        completed += rate_of(tuner_value(&tuner)) * shaken / 1000;
        tuner_sample(&tuner, now_ns, (uint64_t)completed);
        if (i == steps / 2)
            before_half = completed;
    }
    return (completed - before_half) / (seconds / 2);
}

static void tear_down(void)
{
    tuner_destroy(&tuner);
}

TestSuite(tuner, .fini = tear_down);

Test(tuner, stays_where_it_is_right)
{
    tuner_init(&tuner, 128, 2, 512);
    noise = 0.1;
    cr_assert_gt(run(server_1ms, 2, 1), 0.9 * 60000);
}

Test(tuner, finds_a_slow_server)
{
    tuner_init(&tuner, 64, 2, 512);
    noise = 0.1;
    cr_assert_gt(run(server_20ms, 3, 2), 0.85 * 512 * 50, "%u at once", tuner_value(&tuner));
}

Test(tuner, goes_down_where_more_hurt)
{
    tuner_init(&tuner, 16, 2, 16);
    noise = 0.05;
    cr_assert_gt(run(contended, 4, 3), 0.85 * 40000, "%u at once", tuner_value(&tuner));
}

Test(tuner, saves_what_does_not_help)
{
    tuner_init(&tuner, 16, 2, 16);
    cr_assert_gt(run(saturated, 4, 4), 0.9 * 30000);
    cr_assert_leq(tuner.settled, 6);
}

Test(tuner, uses_all_that_helps)
{
    tuner_init(&tuner, 16, 2, 16);
    noise = 0.1;
    cr_assert_gt(run(scaling, 4, 5), 0.85 * 160000, "%u at once", tuner_value(&tuner));
}

Test(tuner, follows_a_change)
{
    tuner_init(&tuner, 64, 2, 512);
    run(server_1ms, 2, 6);
    cr_assert_gt(run(server_20ms, 3, 7), 0.8 * 512 * 50);
}

static double growing_ms;

/* A server at its limit with 64 at once, and a copy that finds more files all the time. */
static double growing(double value)
{
    growing_ms++;
    return MIN(value, 64.0) * MIN(growing_ms, 400.0);
}

Test(tuner, takes_no_credit_for_what_grows_by_itself)
{
    tuner_init(&tuner, 64, 2, 512);
    noise = 0;
    run(growing, 0.4, 9);
    cr_assert_leq(tuner.settled, 64);
}

Test(tuner, keeps_to_what_is_fixed)
{
    tuner_init(&tuner, 7, 7, 7);
    run(scaling, 1, 8);
    cr_assert_eq(tuner_value(&tuner), 7);
}

Test(tuner, learns_nothing_while_idle)
{
    tuner_init(&tuner, 64, 2, 512);
    tuner_sample(&tuner, 10 * NS_PER_S, 1000);
    tuner_sample(&tuner, 100 * NS_PER_S, 1040); /* nobody wanted more */
    cr_assert_eq(tuner_value(&tuner), 64);
    cr_assert_eq(tuner.settled_rate, 0);
}
