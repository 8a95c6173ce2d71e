/* Slurm's commands, its controller, this node in it; and the launchers that do without. */
#include "cache/preload/farm_doctor_slurm.h"

#include "cache/preload/farm_child.h"
#include "cache/preload/farm_hosts.h"
#include "cache/preload/farm_slurm.h"

#include <string.h>
#include <sys/wait.h>

enum {
    SLURMD_LIMIT_S = 60,
    SLURMD_MAX_BYTES = 64 << 10,
    LIST_MAX = 128,
};

#define WELL    PKGCACHE_SEVERITY_OK
#define NOTE    PKGCACHE_SEVERITY_NOTE
#define WARNING PKGCACHE_SEVERITY_WARNING
#define PROBLEM PKGCACHE_SEVERITY_PROBLEM

/* Divides programs into those in PATH and the others. Returns how many are there. */
static size_t look_for(const char *const *programs, size_t count, char there[static LIST_MAX],
                       char missing[static LIST_MAX])
{
    size_t found = 0;
    *there = *missing = '\0';
    for (size_t i = 0; i < count; i++) {
        bool is_there = farm_hosts_check_launcher(programs[i], NULL) == 0;
        char *list = is_there ? there : missing;
        size_t length = strlen(list);
        snprintf(list + length, LIST_MAX - length, "%s%s", length > 0 ? ", " : "", programs[i]);
        found += is_there;
    }
    return found;
}

/* What to do when Slurm does not answer. */
static const char *advise(const char *said)
{
    if (strcasestr(said, "munge") || strcasestr(said, "authentication"))
        return "Start munged, with the same /etc/munge/munge.key on all hosts";
    if (strstr(said, "contact") || strstr(said, "Connection"))
        return "See whether slurmctld runs, and whether this host reaches it";
    return "See slurm.conf(5): it has to be the same on all hosts";
}

/* Asks slurmd itself; who is not allowed to, or has no slurmd here, is told so by scontrol. */
static void examine_slurmd(const struct examination *examination, const char *name)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_TEXT struct text output = {0};
    CLEANUP_TEXT struct text errors = {0};
    struct pkgcache_error error = {0};
    int status = 0;
    farm_arguments_add(&arguments, "env"); /* scontrol takes address and port of that node */
    farm_arguments_printf(&arguments, "SLURMD_NODENAME=%s", name);
    farm_arguments_add(&arguments, "scontrol");
    farm_arguments_add(&arguments, "show");
    farm_arguments_add(&arguments, "slurmd");
    int result = farm_child_ask(&arguments, SLURMD_LIMIT_S, SLURMD_MAX_BYTES, &output, &errors,
                                &status, &error);
    if (result == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        doctor_report(examination, WELL, "slurmd", NULL, NULL, "slurmd answers for node %s", name);
    else
        doctor_report(examination, PROBLEM, "slurmd", NULL, "Start slurmd on this host",
                      "slurmd does not answer for node %s: %.*s", name,
                      (int)strcspn(errors.bytes ? errors.bytes : error.message, "\n"),
                      errors.bytes ? errors.bytes : error.message);
}

/* Whom sinfo can ask for, it is authenticated with, and the controller answers. */
static void examine_controller(const struct examination *examination, const char *name)
{
    CLEANUP_SLURM_NODES struct farm_slurm_nodes nodes = {0};
    struct pkgcache_error error;
    if (farm_slurm_ask(NULL, name, &nodes, &error) < 0) {
        doctor_report(examination, PROBLEM, "slurm", NULL, advise(error.message), "%s",
                      error.message);
        return;
    }
    const struct farm_slurm_node *node = farm_slurm_find(&nodes, name);
    if (!node) {
        doctor_report(examination, NOTE, "slurm", NULL, NULL,
                      "the controller answers, and knows no node %s: preloads can be started from "
                      "here, and do not come here",
                      name);
        return;
    }
    bool is_away = !node->is_free && strncmp(node->state, "alloc", strlen("alloc")) != 0 &&
                   strncmp(node->state, "comp", strlen("comp")) != 0;
    doctor_report(examination, is_away ? WARNING : WELL, "slurm", NULL,
                  is_away ? "scontrol update State=RESUME puts it back; preload takes it when it "
                            "is, until --time-limit"
                          : NULL,
                  "the controller answers; it says that node %s is %s", name, node->state);
    examine_slurmd(examination, name);
}

static void examine_slurm(const struct examination *examination, const char *name)
{
    static const char *const programs[] = {"sinfo", "scontrol", "srun", "sbcast", "scancel"};
    char there[LIST_MAX];
    char missing[LIST_MAX];
    if (look_for(programs, ARRAY_LENGTH(programs), there, missing) == 0) {
        doctor_report(examination, NOTE, "slurm", NULL, NULL,
                      "Slurm's commands are not in PATH: preload --slurm cannot be started from "
                      "here");
        return;
    }
    if (*missing)
        doctor_report(examination, PROBLEM, "slurm", NULL, "Install all of Slurm's client",
                      "of Slurm's commands, these are not in PATH: %s", missing);
    if (name && farm_hosts_check_launcher("sinfo", NULL) == 0)
        examine_controller(examination, name);
}

void farm_doctor_examine_launchers(const struct examination *examination, const char *name)
{
    static const char *const launchers[] = {"clush", "pdsh", "parallel"};
    char there[LIST_MAX];
    char missing[LIST_MAX];
    examine_slurm(examination, name);
    size_t count = look_for(launchers, ARRAY_LENGTH(launchers), there, missing);
    if (count == 0)
        doctor_report(examination, NOTE, "launchers", NULL, NULL,
                      "neither clush nor pdsh nor parallel is in PATH: preload --hosts cannot be "
                      "started from here");
    else if (farm_hosts_check_launcher("ssh", NULL) < 0)
        doctor_report(examination, WARNING, "launchers", NULL, "Install an ssh client",
                      "%s: in PATH, but ssh is not, by which they reach hosts", there);
    else
        doctor_report(examination, WELL, "launchers", NULL, NULL, "in PATH: %s, and ssh", there);
}
