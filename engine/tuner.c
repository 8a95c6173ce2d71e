/*
 * Hill climbing on the rate of completions, as in R. Jain, "The Art of Computer Systems Performance
 * Analysis" (1991), or the auto-tuning of a database's worker pool: a trial value, half as much
 * again or a third less than the settled one, is kept for a tick, and then the settled one once
 * more; the trial's becomes the settled one if its rate was better than both before and after, by
 * more than noise. Else a copy that gains speed by itself, as each does when it begins, would be
 * taken for a trial that pays. When neither direction pays, trials become rarer. The rate at the
 * settled value is measured anew all the time, so a change of the load is followed; a great one
 * ends the rest.
 */
#include "engine/tuner.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <assert.h>

#define TICK_NS (50 * NS_PER_MS)

enum {
    TICK_COMPLETED_MIN = 32, /* fewer say nothing: the tick goes on */
    REST_MIN = 1,
    REST_MAX = 32,
};

/* A trial must be better than this many times the settled rate. */
#define BETTER_UP   1.05 /* more at once costs memory, and others' patience: it must pay */
#define BETTER_DOWN 0.98

/* How far a rate may fall, or rise, from one tick to the next. */
#define STEADY  0.7 /* beyond, a trial would tell nothing */
#define CHANGED 0.5 /* beyond, it is another load */

void tuner_init(struct tuner *tuner, unsigned value, unsigned min, unsigned max)
{
    assert(min >= 1 && min <= value && value <= max);
    *tuner = (struct tuner){
        .min = min, .max = max, .settled = value, .direction = 1, .rest_next = REST_MIN};
    atomic_store(&tuner->value, value);
    pthread_mutex_init(&tuner->lock, NULL);
}

void tuner_destroy(struct tuner *tuner)
{
    pthread_mutex_destroy(&tuner->lock);
}

static unsigned step_from(const struct tuner *tuner, int direction)
{
    unsigned value = tuner->settled;
    assert(direction == 1 || direction == -1);
    unsigned next = direction > 0 ? value + MAX(value / 2, 1U) : value - MAX(value / 3, 1U);
    if (direction < 0 && value <= 1)
        next = 1;
    return MIN(MAX(next, tuner->min), tuner->max);
}

static void set_value(struct tuner *tuner, unsigned value)
{
    assert(value >= tuner->min && value <= tuner->max);
    atomic_store_explicit(&tuner->value, value, memory_order_relaxed);
}

/*
 * Keeps the value of a trial, or tries the other direction later.
 *
 * rate: of the settled value, since
 */
static void judge_trial(struct tuner *tuner, double rate)
{
    double better = tuner->direction > 0 ? BETTER_UP : BETTER_DOWN;
    if (tuner->tried_rate > MAX(tuner->settled_rate, rate) * better) {
        tuner->settled = tuner->tried;
        tuner->settled_rate = tuner->tried_rate;
        tuner->rest_ticks = 0;
        tuner->rest_next = REST_MIN;
        set_value(tuner, tuner->settled);
        return;
    }
    tuner->settled_rate = (tuner->settled_rate + rate) / 2;
    tuner->direction = -tuner->direction;
    tuner->rest_ticks = tuner->rest_next;
    if (tuner->direction > 0) /* both were tried */
        tuner->rest_next = MIN(2 * tuner->rest_next, (unsigned)REST_MAX);
}

/* Takes in the rate of a tick without a trial. Returns whether it was the time for one. */
static bool note_rate(struct tuner *tuner, double rate)
{
    double before = tuner->settled_rate;
    double change = MIN(rate, before) / MAX(rate, before);
    tuner->settled_rate = before > 0 ? (before + rate) / 2 : rate;
    if (change < CHANGED) {
        tuner->direction = 1;
        tuner->rest_ticks = MIN(tuner->rest_ticks, (unsigned)REST_MIN);
        tuner->rest_next = REST_MIN;
    }
    return change > STEADY;
}

static void begin_trial(struct tuner *tuner)
{
    unsigned next = step_from(tuner, tuner->direction);
    if (next == tuner->settled) {
        tuner->direction = -tuner->direction;
        next = step_from(tuner, tuner->direction);
    }
    set_value(tuner, next);
}

static void end_tick(struct tuner *tuner, double rate)
{
    if (tuner_value(tuner) != tuner->settled) {
        tuner->tried = tuner_value(tuner);
        tuner->tried_rate = rate;
        set_value(tuner, tuner->settled);
        return;
    }
    bool steady = true;
    if (tuner->tried_rate > 0)
        judge_trial(tuner, rate);
    else
        steady = note_rate(tuner, rate);
    tuner->tried_rate = 0;
    if (tuner->rest_ticks > 0)
        tuner->rest_ticks--;
    else if (steady && tuner->min < tuner->max)
        begin_trial(tuner);
}

void tuner_sample(struct tuner *tuner, uint64_t now_ns, uint64_t completed)
{
    if (pthread_mutex_trylock(&tuner->lock) != 0)
        return;
    uint64_t since_ns = now_ns - tuner->tick_start_ns;
    uint64_t count = completed - tuner->tick_start_completed;
    bool idle = since_ns > 40 * TICK_NS; /* nothing to do for a while: no measure of anything */
    if (idle || (since_ns >= TICK_NS && count >= TICK_COMPLETED_MIN)) {
        if (!idle)
            end_tick(tuner, (double)count / (double)since_ns);
        tuner->tick_start_ns = now_ns;
        tuner->tick_start_completed = completed;
    }
    pthread_mutex_unlock(&tuner->lock);
}
