/* Cancelling: jobs end soon, also those whose operations hang. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

struct copyengine_job;

/** The thread that ends jobs for their owners when what they wait for hangs. */
struct canceller {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool started; /* with the first job that is cancelled */
    bool stopping;
    struct copyengine_job *jobs; /* those that were cancelled first come first */
};

void canceller_init(struct canceller *canceller);

/** Sees to it that a job, which was cancelled, ends soon. */
void canceller_watch(struct copyengine_job *job);

/** Ends its thread. */
void canceller_stop(struct canceller *canceller);

/** After canceller_stop. */
void canceller_destroy(struct canceller *canceller);
