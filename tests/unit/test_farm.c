/* What preload reads of others: names, nodes' reports, what sinfo and srun print. */
#include "cache/preload/farm_choice.h"
#include "cache/preload/farm_line.h"
#include "cache/preload/farm_order.h"
#include "cache/preload/farm_run.h"
#include "cache/preload/farm_silence.h"
#include "cache/preload/farm_slurm.h"

#include <criterion/criterion.h>

static int parse(const char *text, struct farm_line *line)
{
    return farm_line_parse(text, strlen(text), line);
}

Test(farm, names)
{
    static const char *const sound[] = {"n1", "node-1.example.org", "a_b", "7", "x."};
    static const char *const refused[] = {"",      "-n1",   "n 1", "n1;x",    "$(x)",
                                          "n1\n",  ".",     "..",  ".x",      "n[1]",
                                          "n1,n2", "\"n\"", "n/1", "\xc3\xa9"};
    char longest[FARM_NAME_MAX + 2];
    for (size_t i = 0; i < ARRAY_LENGTH(sound); i++)
        cr_expect(farm_name_is_sound(sound[i]), "%s", sound[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++)
        cr_expect_not(farm_name_is_sound(refused[i]), "%s", refused[i]);
    memset(longest, 'n', sizeof(longest));
    longest[FARM_NAME_MAX + 1] = '\0';
    cr_expect_not(farm_name_is_sound(longest));
    longest[FARM_NAME_MAX] = '\0';
    cr_expect(farm_name_is_sound(longest));
    cr_expect_not(farm_name_is_sound_bytes("n\0x", 3));
}

Test(farm, words)
{
    cr_expect_eq(farm_expression_check("n1,n[3-8,10]", NULL), 0);
    cr_expect_eq(farm_expression_check("n1,-w", NULL), -EINVAL);
    cr_expect_eq(farm_expression_check("-n1", NULL), -EINVAL);
    cr_expect_eq(farm_expression_check("n1 n2", NULL), -EINVAL);
    cr_expect_eq(farm_expression_check("", NULL), -EINVAL);
    cr_expect_eq(farm_program_check("/opt/pkgcache-1.0+2/bin/pkgcache", NULL), 0);
    cr_expect_eq(farm_program_check("pkgcache", NULL), -EINVAL);
    cr_expect_eq(farm_program_check("/opt/my programs/pkgcache", NULL), -EINVAL);
    cr_expect_eq(farm_program_check("/opt/$(x)", NULL), -EINVAL);
}

Test(farm, names_are_sorted_as_people_count)
{
    CLEANUP_NAMES struct farm_names names = {0};
    static const char *const given[] = {"n10", "n2", "n1", "n2"};
    for (size_t i = 0; i < ARRAY_LENGTH(given); i++)
        cr_assert_eq(farm_names_add(&names, given[i], NULL), 0);
    farm_names_sort(&names);
    cr_assert_eq(names.count, 3);
    cr_expect_str_eq(names.items[1], "n2");
    cr_expect_str_eq(names.items[2], "n10");
}

Test(farm, lines)
{
    struct farm_line line;
    cr_assert_eq(parse("{\"node\":\"n1\",\"variant\":3,\"status\":\"created\",\"bytes\":7}", &line),
                 0);
    cr_expect_eq(line.kind, FARM_LINE_VARIANT);
    cr_expect_eq(line.variant, 3);
    cr_expect_eq(line.bytes, 7);
    cr_assert_eq(parse("n7: {\"node\":\"localhost\",\"end\":true,\"lines\":2}", &line), 0);
    cr_expect_str_eq(line.node, "n7");
    cr_expect_eq(line.lines, 2);
}

Test(farm, lines_that_are_none)
{
    static const char *const refused[] = {
        "",
        "{}",
        "[]",
        "motd: welcome",
        "{\"node\":\"n1\"}",
        "{\"node\":\"n 1\",\"begin\":\"1\"}",
        "{\"node\":7,\"begin\":\"1\"}",
        "{\"node\":\"n1\",\"end\":true}",
        "{\"node\":\"n1\",\"end\":true,\"lines\":-1}",
        "{\"node\":\"n1\",\"end\":true,\"lines\":1.5}",
        "{\"node\":\"n1\",\"end\":true,\"lines\":1,\"seconds\":-1}",
        "{\"node\":\"n1\",\"end\":true,\"lines\":1,\"seconds\":\"1\"}",
        "{\"node\":\"n1\",\"end\":true,\"lines\":1,\"error\":7}",
        "{\"node\":\"n1\",\"variant\":1,\"status\":\"gone\"}",
        "{\"node\":\"n1\",\"variant\":99999999999999999999,\"status\":\"found\"}",
        "$(x): {\"node\":\"n1\",\"begin\":\"1\"}",
        "-n: {\"node\":\"n1\",\"begin\":\"1\"}",
        "n1:{\"node\":\"n1\",\"begin\":\"1\"}",
    };
    struct farm_line line;
    char longest[FARM_LINE_MAX + 1];
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++)
        cr_expect_eq(parse(refused[i], &line), -EBADMSG, "%s", refused[i]);
    memset(longest, ' ', sizeof(longest));
    memcpy(longest, "{\"node\":\"n1\",\"begin\":\"1\"}", 25);
    cr_expect_eq(farm_line_parse(longest, FARM_LINE_MAX, &line), -EBADMSG);
    cr_expect_eq(farm_line_parse(longest, FARM_LINE_MAX - 1, &line), 0);
}

Test(farm, long_reasons_are_cut_at_a_character)
{
    CLEANUP_TEXT struct text text = {0};
    struct farm_line line = {.kind = FARM_LINE_END, .node = "n1"};
    char reason[3000];
    for (size_t i = 0; i + 2 < sizeof(reason); i += 2)
        memcpy(reason + i, "\xc3\xa9", 3);
    reason[0] = 'x';
    reason[1] = '\n';
    farm_line_set_reason(&line, reason);
    farm_line_print(&text, &line);
    cr_assert_eq(text.error, 0);
    cr_expect_leq(text.length, (size_t)FARM_LINE_MAX);
    cr_assert_eq(farm_line_parse(text.bytes, text.length - 1, &line), 0);
    cr_expect_gt(strlen(line.reason), 50);
}

Test(farm, what_sinfo_prints)
{
    CLEANUP_SLURM_NODES struct farm_slurm_nodes nodes = {0};
    static const char *const text = "n2|idle|all*\nn10|mixed-|all*\nn1|down*|all*\nn3|idle|other\n"
                                    "n4|idle~|all*\nn5|idle*|all*\nn6|drained|all*\nn2|idle|all*\n";
    cr_assert_eq(farm_slurm_parse(text, true, &nodes, NULL), 0);
    cr_expect_eq(nodes.count, 6);
    cr_expect_null(farm_slurm_find(&nodes, "n3"));
    cr_expect(farm_slurm_find(&nodes, "n2")->is_free);
    cr_expect(farm_slurm_find(&nodes, "n10")->is_free);
    cr_expect(farm_slurm_find(&nodes, "n4")->is_free);
    cr_expect_not(farm_slurm_find(&nodes, "n1")->is_free);
    cr_expect_not(farm_slurm_find(&nodes, "n5")->is_free);
    cr_expect_str_eq(farm_slurm_find(&nodes, "n6")->state, "drained");
}

Test(farm, what_sinfo_never_prints)
{
    static const char *const refused[] = {"n1\n", "n1|idle\n", "$(x)|idle|all*\n", "|||\n",
                                          "-n|a|b\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        CLEANUP_SLURM_NODES struct farm_slurm_nodes nodes = {0};
        cr_expect_eq(farm_slurm_parse(refused[i], false, &nodes, NULL), -EBADMSG, "%s", refused[i]);
    }
}

static void expect_why(const char *errors, const char *node, bool alone, const char *wanted)
{
    char why[FARM_WHY_MAX];
    farm_silence_explain(errors, node, alone, why);
    cr_expect_str_eq(why, wanted);
}

Test(farm, why_nodes_are_silent)
{
    static const char *const died = "srun: job 3 queued and waiting for resources\n"
                                    "srun: error: Node failure on n3\n"
                                    "srun: error: n12: task 1: Killed\n";
    expect_why(died, "n3", false, "no report: srun: error: Node failure on n3");
    expect_why(died, "n1", false, "no report: srun: error: Node failure on n3");
    expect_why(died, "n12", false, "no report: srun: error: n12: task 1: Killed");
    expect_why("slurmstepd: error: execve(): /x: No such file or directory\n"
               "srun: error: n2: task 0: Exited with exit code 2\n",
               "n2", true, "no report: slurmstepd: error: execve(): /x: No such file or directory");
    expect_why("", "n1", true, "no report: nothing was said of why");
    expect_why("\033[31mred", "n1", true, "no report: \\x1b[31mred");
}

Test(farm, exit_codes)
{
    CLEANUP_RUN struct farm_run run = {.variants = 1};
    CLEANUP_NAMES struct farm_names names = {0};
    cr_assert_eq(farm_names_add(&names, "n1", NULL), 0);
    cr_assert_eq(farm_names_add(&names, "n2", NULL), 0);
    cr_assert_eq(farm_run_set_nodes(&run, &names), 0);
    cr_expect_eq(farm_run_exit_code(&run), FARM_EXIT_FAILED);
    run.nodes[0].state = FARM_DONE;
    cr_expect_eq(farm_run_exit_code(&run), FARM_EXIT_PARTLY);
    run.nodes[1].state = FARM_DONE;
    cr_expect_eq(farm_run_exit_code(&run), FARM_EXIT_DONE);
    cr_assert_eq(farm_run_add_failure(&run, FARM_NO_NODE, "foo-1.0", "no such root"), 0);
    cr_expect_eq(farm_run_exit_code(&run), FARM_EXIT_PARTLY);
    cr_expect_eq(farm_run_find(&run, "n2", 2), &run.nodes[1]);
    cr_expect_null(farm_run_find(&run, "n2x", 3));
}

static int read_order(const char *text)
{
    struct sources sources = {0};
    struct farm_order order = {0};
    struct pkgcache_error error;
    cr_assert_eq(sources_open(&sources, NULL, NULL), 0);
    int result = farm_order_read(text, strlen(text), &sources, &order, &error);
    farm_order_free(&order);
    sources_free(&sources);
    return result;
}

static int read_receive_order(const char *staging, const char *bytes)
{
    char text[1024];
    static const char digest[] = "0123456789abcdef0123456789abcdef";
    snprintf(text, sizeof(text),
             "{\"order\":1,\"step\":\"receive\",\"jitter_s\":0,\"settings\":{},\"variants\":[],"
             "\"pack\":{\"path\":null,\"digest\":\"%s\",\"bytes\":%s,\"payload_bytes\":1,"
             "\"staging\":\"%s\",\"parts\":[{\"bytes\":1,\"digest\":\"%s\"}]}}",
             digest, bytes, staging, digest);
    return read_order(text);
}

Test(farm, orders_to_receive)
{
    static const char *const refused[] = {"", ".", "..", "../x", "a/b", "-x", ".sys"};
    cr_expect_eq(read_receive_order("preload-x-1", "1"), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++)
        cr_expect_eq(read_receive_order(refused[i], "1"), -EBADMSG, "%s", refused[i]);
    cr_expect_eq(read_receive_order("x", "-1"), -EBADMSG);
    cr_expect_eq(read_receive_order("x", "9223372036854775807"), -EBADMSG); /* sums would wrap */
}

Test(farm, orders)
{
    cr_expect_eq(
        read_order(
            "{\"order\":1,\"step\":\"look\",\"jitter_s\":0,\"settings\":{},\"variants\":[]}"),
        0);
    cr_expect_eq(read_order("{\"order\":2,\"step\":\"look\"}"), -ENOTSUP);
    cr_expect_eq(
        read_order("{\"order\":1,\"step\":\"fly\",\"jitter_s\":0,\"settings\":{},\"variants\":[]}"),
        -EBADMSG);
    cr_expect_eq(
        read_order(
            "{\"order\":1,\"step\":\"look\",\"jitter_s\":-1,\"settings\":{},\"variants\":[]}"),
        -EBADMSG);
    cr_expect_eq(read_order("{\"order\":1,\"step\":\"look\",\"jitter_s\":0,\"settings\":{}}"),
                 -EBADMSG);
    cr_expect_eq(read_order("{\"variants\":[]}"), -EBADMSG);
    cr_expect_eq(read_order(""), -EBADMSG);
}

/* --- auto --- */

static void expect_choice(const struct farm_situation *situation, const char *fanout,
                          const char *word)
{
    char why[FARM_WHY_MAX];
    cr_expect_str_eq(farm_choice_make(situation, why), fanout, "%s", why);
    cr_expect_not_null(strstr(why, word), "%s", why);
}

static struct farm_situation lacking(size_t nodes, uint64_t bytes, uint64_t files)
{
    return (struct farm_situation){
        .nodes = nodes,
        .variants = 10,
        .can_cast = true,
        .can_share = true,
        .size = {.is_known = true, .bytes = bytes, .files = files},
    };
}

Test(farm, choices_by_number_and_size)
{
    struct farm_situation much = lacking(4, 1 << 30, 1000);
    struct farm_situation little = lacking(4, 1 << 20, 200);
    struct farm_situation many_files = lacking(4, 1 << 20, 251);
    struct farm_situation few = lacking(2, UINT64_C(1) << 40, 1000000);
    struct farm_situation unknown = lacking(4, 0, 0);
    expect_choice(&much, "tree", "10 variants (1073.7 MB in 1000 files)");
    much.size.is_guess = true;
    expect_choice(&much, "tree", "(about 1073.7 MB");
    expect_choice(&little, "source", "too little");
    expect_choice(&many_files, "tree", "casts");
    expect_choice(&few, "source", "2 nodes");
    unknown.size.is_known = false;
    expect_choice(&unknown, "tree", "4 nodes lack 10 variants:");
    much.can_cast = false;
    expect_choice(&much, "pack", "see the run's directory");
    much.can_share = false;
    expect_choice(&much, "source", "would need");
}

Test(farm, choices_by_what_was_measured)
{
    struct farm_situation situation = lacking(4, 240000000, 16000);
    situation.rates = (struct farm_rates){.source_bytes_s = 50e6, .packing_bytes_s = 12e6};
    expect_choice(&situation, "tree", "casts"); /* nothing to compare with yet */
    situation.rates.cast_bytes_s = 60e6;
    expect_choice(&situation, "source", "source 19.2 s, tree 24.0 s");
    situation.nodes = 8;
    expect_choice(&situation, "tree", "source 38.4 s, tree 24.0 s");
    situation.nodes = 1;
    expect_choice(&situation, "source", "source 4.8 s");
    situation.nodes = 8;
    situation.rates.share_bytes_s = 1e9;
    expect_choice(&situation, "pack", "pack 21.9 s");
    situation.can_share = false;
    expect_choice(&situation, "tree", "tree 24.0 s");
    situation.can_cast = false;
    expect_choice(&situation, "source", "would need");
    struct farm_situation little = lacking(4, 1 << 20, 200);
    little.rates = situation.rates;
    expect_choice(&little, "source", "too little");
}
