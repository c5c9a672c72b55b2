/* batch.c - job scripts: each row's script is the golden file of its name, parses, and does what it says when it runs (with stand-ins
 * for the program and the scheduler): hostile names arrive whole, the state file ends a chain, 75 puts the job back, signals reach
 * the program. QPIPE_ACCEPT=1 rewrites the golden files. */
#include "cluster/batch.h"

#include "base/file.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char work[] = "/tmp/qpipe-batch.XXXXXX";

struct fixture {
    struct batch_job j;
    struct batch_task task[3];
};

static void add(struct strs *l, const char *s)
{
    struct err e = { 0 };
    assert_int_equal(strs_add(l, s, &e), 0);
}

static void make(struct fixture *f, size_t n)
{
    static const char *const label[] = { "a.yaml", "b.yaml, variant w4", "b.yaml, variant w8" };
    static const char *const words[][3] = { { "run", "a.yaml", NULL },
                                            { "run", "b.yaml", "--variant=w4" },
                                            { "run", "b.yaml", "--variant=w8" } };
    memset(f, 0, sizeof *f);
    f->j = (struct batch_job){ .name = "tiny",
                               .folder = "/data/out",
                               .workdir = "/data/recipes",
                               .program = "/opt/bin/qpipe",
                               .nodes = 1,
                               .ranks_a_node = 1,
                               .threads = 16,
                               .memory = INT64_C(40) << 30,
                               .seconds = 93600,
                               .warn = 300,
                               .links = 1,
                               .launcher = LAUNCH_NONE,
                               .requeue = true,
                               .task = f->task,
                               .n_tasks = n };
    add(&f->j.about, "a.yaml -> tiny: 1e+16 FLOP");
    add(&f->j.env, "OMP_WAIT_POLICY=passive");
    for (size_t i = 0; i < n; i++) {
        f->task[i].label = label[i];
        f->task[i].done = i ? NULL : "/data/out/tiny/manifest.json";
        for (size_t k = 0; k < 3 && words[i][k]; k++)
            add(&f->task[i].words, words[i][k]);
    }
}

static void release(struct fixture *f)
{
    for (size_t i = 0; i < f->j.n_tasks; i++)
        strs_release(&f->task[i].words);
    strs_release(&f->j.about);
    strs_release(&f->j.env);
    strs_release(&f->j.lines);
    strs_release(&f->j.setup);
}

static struct buf script(const struct batch_kind *k, const struct fixture *f)
{
    struct buf out = { 0 };
    struct err e = { 0 };
    if (batch_script(k, &f->j, &out, &e))
        fail_msg("%s", e.what);
    return out;
}

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static char *read_text(const char *path)
{
    struct buf b = { 0 };
    struct err e = { 0 };
    if (file_read(path, 1 << 20, &b, &e))
        fail_msg("%s", e.what);
    return b.p ? b.p : mem_strdup("", &e);
}

static int QP_PRINTF(1, 2) shell(const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    int rc = system(line);
    return rc < 0 ? rc : rc & 0x7f ? 128 + (rc & 0x7f) : rc >> 8;
}

/* ---- golden files ---- */

static void is_golden(const char *name, const struct batch_kind *k, const struct fixture *f)
{
    char path[256];
    struct buf got = script(k, f);
    snprintf(path, sizeof path, "tests/cluster/golden/%s.sh", name);
    if (getenv("QPIPE_ACCEPT"))
        write_text(path, got.p, 0644);
    char *want = read_text(path);
    assert_string_equal(got.p, want);
    mem_free(want);
    assert_int_equal(shell("bash -n %s", path), 0);
    buf_release(&got);
}

static void ask_for_all(struct fixture *f)
{
    f->j.nodes = 4;
    f->j.ranks_a_node = 2;
    f->j.threads = 8;
    f->j.partition = "long";
    f->j.account = "lab-7";
    f->j.parallel = 2;
    add(&f->j.setup, "module load openmpi/4.1");
}

static void scripts_are_the_golden_ones(void **state)
{
    (void)state;
    for (const struct batch_kind *const *k = batches; *k; k++) {
        struct fixture f;
        char name[64];
        make(&f, 1);
        f.j.seconds = (*k)->has_limit ? f.j.seconds : 0;
        snprintf(name, sizeof name, "%s-one", (*k)->name);
        is_golden(name, *k, &f);
        release(&f);

        make(&f, 3);
        ask_for_all(&f);
        f.j.launcher = (*k)->ranks_by;
        f.j.nodes = (*k)->has_limit ? f.j.nodes : 1;
        f.j.seconds = (*k)->has_limit ? 3600 : 0;
        f.j.links = (*k)->has_limit ? 3 : 1;
        f.j.requeue = false;
        add(&f.j.lines, "--exclusive");
        snprintf(name, sizeof name, "%s-all", (*k)->name);
        is_golden(name, *k, &f);
        release(&f);
    }
}

static void launchers_say_what_they_must(void **state)
{
    (void)state;
    static const struct {
        enum launcher by;
        const char *says;
    } rows[] = {
        { LAUNCH_PMIX, "srun --mpi=pmix --kill-on-bad-exit=1 --cpus-per-task=8 \"$program\"" },
        { LAUNCH_PMI2, "srun --mpi=pmi2 --kill-on-bad-exit=1 --cpus-per-task=8 \"$program\"" },
        { LAUNCH_OPENMPI, "\"${QPIPE_MPIRUN:-mpirun}\" -n 8 --map-by ppr:2:node --bind-to none" },
        { LAUNCH_MPICH, "\"${QPIPE_MPIRUN:-mpiexec}\" -n 8 -ppn 2 \"$program\"" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        make(&f, 1);
        ask_for_all(&f);
        f.j.launcher = rows[i].by;
        struct buf out = script(&batch_slurm, &f);
        assert_non_null(strstr(out.p, rows[i].says));
        if (rows[i].by == LAUNCH_OPENMPI)
            assert_non_null(strstr(out.p, "--mca oob_tcp_keepalive_time 4"));
        buf_release(&out);
        release(&f);
    }
}

/* ---- names ---- */

static void hostile_names_reach_the_program_whole(void **state)
{
    (void)state;
    static const char *const hostile[] = {
        "a b", "it's", "\"quoted\"", "$(touch owned)", "`touch owned`", "-n", "back\\sl*", "#no comment",
        "~",   "",     "%s",         "\xC3\xA9;|&<>!"
    };
    struct fixture f;
    struct buf want = { 0 };
    struct err e = { 0 };
    make(&f, 1);
    strs_release(&f.task[0].words);
    memset(&f.task[0].words, 0, sizeof f.task[0].words);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        add(&f.task[0].words, hostile[i]);
        assert_int_equal(buf_printf(&want, &e, "<%s>\n", hostile[i]), 0);
    }
    char dir[128], program[256], path[256];
    snprintf(dir, sizeof dir, "%s/it's a $HOME", work);
    assert_int_equal(mkdir(dir, 0755), 0);
    snprintf(program, sizeof program, "%s/say it", dir);
    write_text(program, "#!/bin/bash\n[ \"$1\" != version ] || exit 0\nfor w; do echo \"<$w>\"; done >said\n",
               0755);
    f.j.folder = f.j.workdir = dir;
    f.j.program = program;
    f.j.seconds = 0;
    f.task[0].label = "it's `a` \"label\" $(exit 3)";
    struct buf out = script(&batch_local, &f);
    snprintf(path, sizeof path, "%s/hostile.sh", work);
    write_text(path, out.p, 0755);
    assert_int_equal(shell("bash '%s'", path), 0);
    snprintf(path, sizeof path, "%s/said", dir);
    char *said = read_text(path);
    assert_string_equal(said, want.p);
    snprintf(path, sizeof path, "%s/owned", dir);
    assert_false(path_exists(path));
    mem_free(said);
    buf_release(&want);
    buf_release(&out);
    release(&f);
}

static void refuses(const struct batch_kind *k, const struct fixture *f, const char *what)
{
    struct buf out = { 0 };
    struct err e = { 0 };
    assert_int_equal(batch_script(k, &f->j, &out, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    if (!strstr(e.what, what))
        fail_msg("got: %s\nwant: %s", e.what, what);
    buf_release(&out);
}

static void control_characters_are_refused_wherever_they_stand(void **state)
{
    (void)state;
    for (int place = 0; place < 6; place++) {
        struct fixture f;
        make(&f, 1);
        if (place == 0)
            add(&f.task[0].words, "a\nb");
        if (place == 1)
            f.task[0].label = "a\rb";
        if (place == 2)
            add(&f.j.about, "comment\nrm -r all");
        if (place == 3)
            add(&f.j.lines, "--qos=x\n#SBATCH --nodes=9");
        if (place == 4)
            add(&f.j.setup, "a\nb");
        if (place == 5)
            f.j.folder = "/data/\x1b[2J";
        refuses(&batch_slurm, &f, "found the character 0x");
        release(&f);
    }
    struct err e = { 0 };
    char *name = batch_name("4 bits/it's\n$x", &e);
    assert_string_equal(name, "q4_bits_it_s__x");
    mem_free(name);
}

static void what_a_row_can_not_do_is_refused_by_name(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, 1);
    refuses(&batch_local, &f, "the scheduler 'local' has no time limit");
    f.j.seconds = 0;
    f.j.nodes = 2;
    refuses(&batch_pbs, &f, "--launcher: found 'none' for 2 ranks");
    f.j.launcher = LAUNCH_PMIX;
    refuses(&batch_pbs, &f, "--launcher: found 'srun-pmix', which is Slurm's, with the scheduler 'pbs'");
    f.j.launcher = LAUNCH_OPENMPI;
    refuses(&batch_local, &f, "--nodes: found 2, expected 1");
    f.j.partition = "two words";
    refuses(&batch_slurm, &f, "--partition: found 'two words'");
    f.j.partition = NULL;
    f.j.seconds = 100;
    f.j.warn = 100;
    refuses(&batch_slurm, &f, "--warn: found 100 seconds, expected fewer than the 100 of --time");
    release(&f);
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, 3);
    ask_for_all(&f);
    f.j.launcher = LAUNCH_OPENMPI;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct buf out = { 0 };
        struct err e = { 0 };
        mem_fail_at(n, 0);
        int rc = batch_script(&batch_slurm, &f.j, &out, &e);
        done = mem_fail_at(0, 0) < n;
        assert_int_equal(rc, done ? 0 : -1);
        assert_int_equal(e.code, done ? ERR_OK : ERR_NOMEM);
        assert_true(!done || n > 3); /* the buffer grew some times */
        buf_release(&out);
    }
    release(&f);
}

/* ---- scripts that run ---- */

/* A program that ends with the next of the statuses in `plan`, and an scontrol that says what it was told. */
static void stand_ins(const char *plan)
{
    char path[256];
    snprintf(path, sizeof path, "%s/plan", work);
    write_text(path, plan, 0644);
    snprintf(path, sizeof path, "%s/program", work);
    write_text(
        path,
        "#!/bin/bash\n[ \"$1\" != version ] || exit 0\n"
        "here=${0%/*}; read -r next rest <\"$here/plan\"; echo \"$rest\" >\"$here/plan\"\n"
        "case $next in wait) trap 'exit 75' USR1; for i in $(seq 100); do sleep 0.1; done; exit 9 ;; esac\n"
        "exit \"$next\"\n",
        0755);
    snprintf(path, sizeof path, "%s/scontrol", work);
    write_text(path, "#!/bin/bash\necho \"$*\" >>\"${0%/*}/told\"\n", 0755);
    shell("rm -f %s/told %s/*.state", work, work);
}

static void place(struct fixture *f, const struct batch_kind *k)
{
    char path[256];
    static char program[256];
    snprintf(program, sizeof program, "%s/program", work);
    f->j.folder = f->j.workdir = work;
    f->j.program = program;
    f->task[0].done = NULL;
    struct buf out = script(k, f);
    snprintf(path, sizeof path, "%s/job.sh", work);
    write_text(path, out.p, 0755);
    buf_release(&out);
}

static int run_job(void)
{
    return shell("cd %s; PATH=%s:$PATH SLURM_JOB_ID=17 bash job.sh >said 2>&1", work, work);
}

static void state_is(const char *want)
{
    char path[256];
    snprintf(path, sizeof path, "%s/tiny.submit.state", work);
    char *got = read_text(path);
    assert_string_equal(got, want);
    mem_free(got);
}

static bool told(const char *what)
{
    char path[256];
    snprintf(path, sizeof path, "%s/told", work);
    if (!path_exists(path))
        return false;
    char *got = read_text(path);
    bool same = !strcmp(got, what);
    mem_free(got);
    return same;
}

static void status_75_puts_the_job_back_and_another_ends_it(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, 1);
    place(&f, &batch_slurm);
    stand_ins("75 138 0 4");
    assert_int_equal(run_job(), 75);
    state_is("75 1\n");
    assert_true(told("requeue 17\n"));
    assert_int_equal(run_job(), 75); /* killed by USR1 before it could catch it */
    assert_true(told("requeue 17\nrequeue 17\n"));
    assert_int_equal(run_job(), 0);
    state_is("0 3\n");
    assert_int_equal(run_job(), 0); /* would be 4: nothing runs again */
    state_is("0 3\n");
    assert_true(told("requeue 17\nrequeue 17\n"));

    stand_ins("2 0");
    assert_int_equal(run_job(), 2);
    assert_int_equal(run_job(), 2); /* a mistake in the recipe is one tomorrow, too */
    state_is("2 1\n");
    assert_false(told("requeue 17\n"));
    release(&f);
}

static void a_chain_goes_on_without_putting_itself_back(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, 1);
    f.j.links = 3;
    f.j.ranks_a_node = 2;
    f.j.launcher = LAUNCH_MPICH;
    place(&f, &batch_slurm);
    stand_ins("");
    shell("printf '#!/bin/bash\\nexec \"${@:5}\"\\n' >%s/mpiexec; chmod 755 %s/mpiexec", work, work);
    stand_ins("75 9 0");
    assert_int_equal(run_job(), 75);
    assert_int_equal(run_job(), 75); /* a rank was killed: hydra says 9 */
    state_is("75 2\n");
    assert_int_equal(run_job(), 0);
    state_is("0 3\n");
    assert_false(told("requeue 17\n"));
    release(&f);
}

static void a_finished_output_is_not_made_again(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, 1);
    place(&f, &batch_slurm);
    char done[256];
    snprintf(done, sizeof done, "%s/plan", work); /* any file that is there */
    f.task[0].done = done;
    struct buf out = script(&batch_slurm, &f);
    char path[256];
    snprintf(path, sizeof path, "%s/job.sh", work);
    write_text(path, out.p, 0755);
    buf_release(&out);
    stand_ins("4");
    assert_int_equal(run_job(), 0);
    state_is("0 0\n");
    release(&f);
}

/* signal - to the script once its program waits: the status of the script. */
static int signalled(const char *name)
{
    return shell(
        "cd %s; PATH=%s:$PATH SLURM_JOB_ID=17 bash job.sh >said 2>&1 & p=$!; sleep 0.7; kill -%s $p; wait $p",
        work, work, name);
}

static void signals_reach_the_program(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, 1);
    place(&f, &batch_slurm);
    stand_ins("wait");
    assert_int_equal(signalled("USR1"), 75);
    assert_true(told("requeue 17\n")); /* the limit: there is more to do */
    state_is("75 1\n");
    stand_ins("wait");
    assert_int_equal(signalled("TERM"), 75);
    assert_false(told("requeue 17\n")); /* somebody wants it gone */
    state_is("75 1\n");
    release(&f);
}

static void a_clock_stands_in_for_the_signal_that_pbs_does_not_send(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, 1);
    f.j.seconds = 60;
    f.j.warn = 59;
    place(&f, &batch_pbs);
    stand_ins("wait");
    assert_int_equal(shell("cd %s; PBS_JOBID=1 timeout 20 bash job.sh", work), 75);
    stand_ins("0");
    f.j.warn = 1;
    place(&f, &batch_pbs);
    assert_int_equal(shell("cd %s; PBS_JOBID=1 timeout 20 bash job.sh", work),
                     0); /* and does not keep a done job */
    release(&f);
}

static void an_array_runs_the_task_of_its_number(void **state)
{
    (void)state;
    static const struct {
        const struct batch_kind *k;
        const char *variable, *name;
    } rows[] = { { &batch_slurm, "SLURM_ARRAY_TASK_ID=1", "1" },
                 { &batch_pbs, "PBS_ARRAY_INDEX=1", "1" },
                 { &batch_sge, "SGE_TASK_ID=2", "2" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        make(&f, 3);
        place(&f, rows[i].k);
        stand_ins("0");
        assert_int_equal(
            shell("cd %s; PATH=%s:$PATH SLURM_JOB_ID=1 PBS_JOBID=1 JOB_ID=1 %s bash job.sh >said 2>&1", work,
                  work, rows[i].variable),
            0);
        assert_int_equal(
            shell("cat %s/said %s/tiny.submit.1.log 2>/dev/null | grep -q 'b.yaml, variant w4: status 0'",
                  work, work),
            0);
        assert_int_equal(shell("test -s %s/tiny.submit.%s.state", work, rows[i].name), 0);
        assert_int_equal(shell("ls %s/*.state | wc -l | grep -qx 1", work), 0);
        release(&f);
    }
}

/* ---- handing over ---- */

static void a_chain_is_handed_over_link_by_link(void **state)
{
    (void)state;
    static const struct {
        const struct batch_kind *k;
        const char *command, *says, *id, *args;
    } rows[] = {
        { &batch_slurm, "sbatch", "echo \"4$n;cluster\"", "42",
          "--parsable job.sh\n--parsable --dependency=afterany:41 job.sh\n" },
        { &batch_pbs, "qsub", "echo \"4$n.server\"", "42.server",
          "job.sh\n-W depend=afterany:41.server job.sh\n" },
        { &batch_sge, "qsub", "echo \"4$n.1-3:1\"", "42", "-terse job.sh\n-terse -hold_jid 41 job.sh\n" },
    };
    char *path = getenv("PATH"), text[1024];
    snprintf(text, sizeof text, "%s:%s", work, path);
    path = strdup(path);
    setenv("PATH", text, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        struct strs ids = { 0 };
        struct err e = { 0 };
        make(&f, 1);
        f.j.links = 2;
        f.j.folder = work;
        shell("rm -f %s/args", work);
        snprintf(text, sizeof text, "%s/%s", work, rows[i].command);
        char body[512];
        snprintf(body, sizeof body, "#!/bin/bash\necho \"$*\" >>args\nn=$(wc -l <args)\n%s\n", rows[i].says);
        write_text(text, body, 0755);
        if (batch_submit(rows[i].k, &f.j, "job.sh", &ids, &e))
            fail_msg("%s", e.what);
        assert_int_equal(ids.n, 2);
        assert_string_equal(ids.v[1], rows[i].id);
        snprintf(body, sizeof body, "%s/args", work); /* written in the folder of the script */
        char *args = read_text(body);
        assert_string_equal(args, rows[i].args);
        mem_free(args);
        strs_release(&ids);
        memset(&ids, 0, sizeof ids);

        write_text(text, "#!/bin/bash\necho no account >&2\nexit 3\n", 0755);
        assert_int_equal(batch_submit(rows[i].k, &f.j, "job.sh", &ids, &e), -1);
        assert_int_equal(e.code, ERR_IO);
        assert_non_null(strstr(e.what, "ended with status 3"));
        memset(&e, 0, sizeof e);
        write_text(text, "#!/bin/bash\necho 'queued: thanks'\n", 0755);
        assert_int_equal(batch_submit(rows[i].k, &f.j, "job.sh", &ids, &e), -1);
        assert_non_null(strstr(e.what, "expected the id of a job"));
        strs_release(&ids);
        release(&f);
    }
    setenv("PATH", "/nowhere", 1);
    struct fixture f;
    struct strs ids = { 0 };
    struct err e = { 0 };
    make(&f, 1);
    f.j.folder = work;
    assert_int_equal(batch_submit(&batch_slurm, &f.j, "job.sh", &ids, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.what, "found no 'sbatch' on this machine"));
    release(&f);
    setenv("PATH", path, 1);
    free(path);
}

static void local_runs_in_a_session_of_its_own(void **state)
{
    (void)state;
    struct fixture f;
    struct strs ids = { 0 };
    struct err e = { 0 };
    make(&f, 1);
    f.j.seconds = 0;
    place(&f, &batch_local);
    stand_ins("wait");
    assert_int_equal(batch_submit(&batch_local, &f.j, "job.sh", &ids, &e), 0);
    assert_int_equal(ids.n, 1);
    assert_int_equal(shell("sleep 0.7; [ \"$(ps -o sid= -p %s | tr -d ' ')\" = %s ]", ids.v[0], ids.v[0]), 0);
    assert_int_equal(
        shell("kill -TERM %s; for i in $(seq 50); do kill -0 %s 2>/dev/null || break; sleep 0.1; done",
              ids.v[0], ids.v[0]),
        0);
    state_is("75 1\n");
    assert_int_equal(shell("grep -q 'status 75' %s/tiny.submit.log", work), 0);
    strs_release(&ids);
    release(&f);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(work) ? 0 : -1;
}

static int end(void **state)
{
    struct err e = { 0 };
    (void)state;
    return path_remove_tree(work, &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_are_the_golden_ones),
        cmocka_unit_test(launchers_say_what_they_must),
        cmocka_unit_test(hostile_names_reach_the_program_whole),
        cmocka_unit_test(control_characters_are_refused_wherever_they_stand),
        cmocka_unit_test(what_a_row_can_not_do_is_refused_by_name),
        cmocka_unit_test(every_failed_allocation_is_an_error),
        cmocka_unit_test(status_75_puts_the_job_back_and_another_ends_it),
        cmocka_unit_test(a_chain_goes_on_without_putting_itself_back),
        cmocka_unit_test(a_finished_output_is_not_made_again),
        cmocka_unit_test(signals_reach_the_program),
        cmocka_unit_test(a_clock_stands_in_for_the_signal_that_pbs_does_not_send),
        cmocka_unit_test(an_array_runs_the_task_of_its_number),
        cmocka_unit_test(a_chain_is_handed_over_link_by_link),
        cmocka_unit_test(local_runs_in_a_session_of_its_own),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
