/* comm.c - the door to the communicators and the one-process row. What several ranks see is ranks.c. */
#include "cluster/comm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int no_launcher(void **state)
{
    (void)state;
    static const char *const all[] = {
        "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE",     "PMI_RANK",
        "SLURM_STEP_NUM_TASKS", "SLURM_PROCID",         "SLURM_NTASKS", "PMIX_RANK"
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        unsetenv(all[i]);
    return 0;
}

static void test_without_launcher_the_communicator_is_single(void **state)
{
    struct comm c;
    struct err e = { 0 };
    (void)state;
    assert_int_equal(comm_open(&c, &e), 0);
    assert_string_equal(c.kind->name, "single");
    assert_int_equal(c.rank, 0);
    assert_int_equal(c.size, 1);
    comm_close(&c);
    assert_null(c.kind);
    comm_close(&c); /* twice is harmless */
}

static void test_single_moves_bytes_to_itself(void **state)
{
    struct comm c;
    struct err e = { 0 };
    char part[5] = "abcd", all[5] = "", kept[5] = "wxyz";
    (void)state;
    assert_int_equal(comm_open(&c, &e), 0);
    assert_int_equal(comm_barrier(&c, &e), 0);
    assert_int_equal(comm_bcast(&c, kept, sizeof kept, 0, &e), 0);
    assert_string_equal(kept, "wxyz");
    assert_int_equal(comm_gather(&c, part, sizeof part, all, 0, &e), 0);
    assert_string_equal(all, "abcd");
    assert_int_equal(comm_gather(&c, part, sizeof part, part, 0, &e), 0); /* in place */
    assert_string_equal(part, "abcd");
    assert_int_equal(comm_gather(&c, NULL, 0, NULL, 0, &e), 0);
    comm_close(&c);
}

static void test_the_launcher_is_known_by_its_variables(void **state)
{
    static const struct {
        const char *set[3][2];
        const char *name, *plugin;
        int rank, size;
    } cases[] = {
        { { { "OMPI_COMM_WORLD_SIZE", "2" }, { "OMPI_COMM_WORLD_RANK", "1" } },
          "mpirun (Open MPI)",
          "openmpi",
          1,
          2 },
        { { { "PMI_SIZE", "16" }, { "PMI_RANK", "15" } }, "mpirun (MPICH, PMI)", "mpich", 15, 16 },
        { { { "SLURM_STEP_NUM_TASKS", "4" }, { "SLURM_PROCID", "3" }, { "PMIX_RANK", "3" } },
          "srun --mpi=pmix",
          "openmpi",
          3,
          4 },
        { { { "SLURM_STEP_NUM_TASKS", "4" }, { "SLURM_PROCID", "3" } }, "srun", NULL, 3, 4 },
        /* mpirun in an allocation of 8 nodes starts its daemons by srun, and they the 4 ranks */
        { { { "OMPI_COMM_WORLD_SIZE", "4" }, { "SLURM_STEP_NUM_TASKS", "8" } },
          "mpirun (Open MPI)",
          "openmpi",
          0,
          4 },
        { { { "SLURM_NTASKS", "8" } }, NULL, NULL, 0, 1 }, /* the shell of a batch script */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct comm_launch l;
        struct err e = { 0 };
        no_launcher(state);
        for (int k = 0; k < 3 && cases[i].set[k][0]; k++)
            setenv(cases[i].set[k][0], cases[i].set[k][1], 1);
        assert_int_equal(comm_launched(&l, &e), 0);
        assert_int_equal(l.size, cases[i].size);
        assert_int_equal(l.rank, cases[i].rank);
        assert_true(cases[i].name ? !strcmp(l.name, cases[i].name) : !l.name);
        assert_true(cases[i].plugin ? !strcmp(l.plugin, cases[i].plugin) : !l.plugin);
    }
}

static void test_srun_without_a_pmi_is_refused_with_the_way_out(void **state)
{
    struct comm c;
    struct err e = { 0 };
    (void)state;
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    assert_int_equal(comm_open(&c, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.what, "srun started 4 processes, but told them nothing about one another");
    assert_non_null(strstr(e.hint, "--mpi=pmix"));
    assert_non_null(strstr(e.hint, "--mpi=pmi2"));
    assert_null(c.kind);
    assert_int_equal(comm_world()->size, 1);
}

static void test_one_rank_under_a_launcher_is_single(void **state)
{
    struct comm c;
    struct err e = { 0 };
    (void)state;
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
    setenv("SLURM_STEP_NUM_TASKS", "1", 1);
    assert_int_equal(comm_open(&c, &e), 0);
    assert_int_equal(c.size, 1);
    comm_close(&c);
}

static void test_an_mpi_that_saw_one_of_several_is_not_believed(void **state)
{
    struct comm_launch l;
    struct err e = { 0 };
    (void)state;
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1); /* srun started 3 processes that each believe to be alone */
    setenv("SLURM_STEP_NUM_TASKS", "3", 1);
    assert_int_equal(comm_launched(&l, &e), 0);
    assert_int_equal(l.size, 3);
    assert_string_equal(l.name, "srun");
    assert_null(l.plugin);
}

static void test_a_count_that_is_no_number_is_named(void **state)
{
    static const char *const bad[] = { "", "two", "0", "-1", "1e3", " 2", "99999999999999999999", "1000001" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct comm c;
        struct err e = { 0 };
        char expected[160];
        setenv("PMI_SIZE", bad[i], 1);
        snprintf(expected, sizeof expected,
                 "environment variable PMI_SIZE is \"%s\", expected a number of processes from 1 to 1000000",
                 bad[i]);
        assert_int_equal(comm_open(&c, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.what, expected);
    }
}

static void test_the_table_of_communicators_is_whole(void **state)
{
    (void)state;
    assert_ptr_equal(comms[0], &comm_single);
    for (size_t i = 0; comms[i]; i++) {
        const struct comm_kind *k = comms[i];
        assert_true(k->name && k->doc && k->open && k->send && k->recv && k->close && k->abort);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_without_launcher_the_communicator_is_single, no_launcher),
        cmocka_unit_test_setup(test_single_moves_bytes_to_itself, no_launcher),
        cmocka_unit_test_setup(test_the_launcher_is_known_by_its_variables, no_launcher),
        cmocka_unit_test_setup(test_srun_without_a_pmi_is_refused_with_the_way_out, no_launcher),
        cmocka_unit_test_setup(test_one_rank_under_a_launcher_is_single, no_launcher),
        cmocka_unit_test_setup(test_an_mpi_that_saw_one_of_several_is_not_believed, no_launcher),
        cmocka_unit_test_setup(test_a_count_that_is_no_number_is_named, no_launcher),
        cmocka_unit_test_setup(test_the_table_of_communicators_is_whole, no_launcher),
    };
    return cmocka_run_group_tests_name("cluster_comm", tests, NULL, NULL);
}
