/* comm_mpi.c - the communicator over MPI: finds the plugin of the launcher's MPI (mpi_door.h), loads it, and moves bytes
 * through it in pieces. qpipe itself is linked with no MPI.
 *
 * Waiting is a loop of tests and short sleeps: blocking calls spin, and a node with more ranks than cores then loses half to
 * three quarters of its speed to ranks that wait (measured). */
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "cluster/beats.h"
#include "cluster/comm.h"
#include "cluster/mpi_door.h"
#include "cluster/place.h"
#include "cluster/watch.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern const struct comm_kind comm_mpi;

enum {
    WINDOW = 2, /* pieces of a message that travel at once */
    START = 5,  /* deadlines: a large job needs a while to load MPI from a shared file system */
    ABORT = 5,  /* seconds for MPI_Abort, which can hang where a link is cut */
};
static struct {
    const struct mpi_door *door;
    struct mpi_seen seen;
    double deadline;
    size_t piece; /* bytes: counts of MPI 3 are int, and progress is made piece by piece */
} mpi = { .piece = (size_t)4 << 20 };

/* ---- finding and loading ---- */

/* Where plugins are looked for: QPIPE_PLUGINS, beside the program, where an installation has them. */
static char *plugin_path(const char *plugin, int place, struct err *e)
{
    static const char *const under[] = { "", "../lib/qpipe/" };
    char self[4096];
    const char *own = getenv("QPIPE_PLUGINS");
    if (place == 0)
        return own && *own ? mem_printf(e, "%s/qpipe-mpi-%s.so", own, plugin) : NULL;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return NULL;
    slash[1] = '\0';
    return mem_printf(e, "%s%sqpipe-mpi-%s.so", self, under[place - 1], plugin);
}

static int load(const struct comm_launch *l, struct err *e)
{
    void *handle = NULL;
    char why[256] = "there is none";
    for (int place = 0; place < 3 && !handle; place++) {
        char *path = plugin_path(l->plugin, place, e);
        if (path && access(path, F_OK) == 0 && !(handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)))
            snprintf(why, sizeof why, "%s", dlerror());
        mem_free(path);
    }
    if (!handle) {
        err_set(e, ERR_INPUT, "%s started %d processes, but qpipe-mpi-%s.so can not be loaded: %s", l->name,
                l->size, l->plugin, why);
        return err_hint(e, "Plugins are looked for in $QPIPE_PLUGINS, beside qpipe and in ../lib/qpipe.");
    }
    mpi_door_fn *get;
    void *symbol = dlsym(handle, MPI_DOOR_SYMBOL);
    memcpy(&get, &symbol, sizeof get);
    if (!symbol || (mpi.door = get())->version != MPI_DOOR_VERSION) {
        err_set(e, ERR_INPUT, "qpipe-mpi-%s.so is of another version of qpipe", l->plugin);
        return err_hint(e, "Install qpipe and its plugins from one build.");
    }
    return 0; /* stays loaded until the process ends: MPI leaves threads and exit handlers behind */
}

/* QPIPE_MPI_PIECE - bytes a piece, for tests of the places where messages are cut. */
static int piece_size(struct err *e)
{
    const char *text = getenv("QPIPE_MPI_PIECE");
    int64_t n = 0;
    if (!text)
        return 0;
    if (!num_bytes(text, &n) || n < 1 || n > INT64_C(1) << 30)
        return err_set(e, ERR_INPUT,
                       "environment variable QPIPE_MPI_PIECE is \"%.40s\", expected bytes from 1 to 1G",
                       text);
    mpi.piece = (size_t)n;
    return 0;
}

const char *comm_library(void) { return mpi.seen.library; }

/* MPI is up; the ranks agree on one deadline (launchers do not hand on every variable) and watch one another. */
static int meet(const struct comm *c, double deadline, struct err *e)
{
    if (comm_bcast(c, &deadline, sizeof deadline, 0, e))
        return -1;
    if (mpi.seen.threads)
        return beats_start(mpi.door, c->rank, c->size, deadline, e);
    watch_stop();
    if (!c->rank)
        log_say(LOG_WARN, "%s takes calls of one thread only: a rank that stops is not noticed",
                mpi.seen.library);
    return 0;
}

static int mpi_open(struct comm *c, struct err *e)
{
    struct comm_launch l;
    char why[320] = "";
    double deadline;
    if (comm_launched(&l, e) || piece_size(e) || watch_deadline(&deadline, e) || load(&l, e) ||
        watch_start(l.rank, START * deadline, "MPI_Init", e))
        return -1;
    if (mpi.door->open(&mpi.seen, why, sizeof why)) {
        watch_stop();
        return err_set(e, ERR_IO, "%s", why);
    }
    *c = (struct comm){ .kind = &comm_mpi, .rank = mpi.seen.rank, .size = mpi.seen.size };
    if (c->size != l.size) { /* every process is "rank 0 of 1" and would write the same files */
        err_set(e, ERR_INPUT, "the launcher %s started %d processes, but %s sees %d", l.name, l.size,
                mpi.seen.library, c->size);
        err_hint(e, "Use the mpirun of one MPI only, or srun with its --mpi (pmix: Open MPI, pmi2: MPICH).");
        mpi.door->close();
        watch_stop();
        return -1;
    }
    if (meet(c, deadline, e)) /* this rank alone knows: the others may wait for it */
        return -1;
    mpi.deadline = deadline;
    return 0;
}

/* ---- moving bytes ---- */

/* Sleeps of 20 us, growing to 1 ms: about 0.1 ms for a short round trip, under 1 % of a core for a long wait. */
static void nap(long *ns)
{
    struct timespec t = { 0, *ns };
    nanosleep(&t, NULL);
    if (*ns < 1000000)
        *ns += *ns / 2;
}

static int start(bool sending, int peer, char *data, size_t n, struct mpi_request *out, struct err *e)
{
    char why[320] = "";
    return mpi.door->start(LANE_DATA, sending, peer, data, (int)n, out, why, sizeof why)
               ? err_set(e, ERR_RESUME, "%s", why)
               : 0;
}

static int move(bool sending, int peer, char *data, size_t n, struct err *e)
{
    struct mpi_request window[WINDOW];
    size_t pieces = n / mpi.piece + (n % mpi.piece != 0), started = 0, finished = 0;
    char why[320] = "";
    long ns = 20000;
    watch_waits(sending, peer, n);
    while (finished < pieces) {
        bool done = false;
        for (; started < pieces && started < finished + WINDOW; started++) {
            size_t at = started * mpi.piece, most = n - at < mpi.piece ? n - at : mpi.piece;
            if (start(sending, peer, data + at, most, &window[started % WINDOW], e))
                return -1;
        }
        if (mpi.door->test(&window[finished % WINDOW], &done, why, sizeof why))
            return err_set(e, ERR_RESUME, "%s", why);
        if (done) {
            finished++;
            ns = 20000;
        } else
            nap(&ns);
    }
    watch_waits(sending, peer, 0);
    return 0;
}

static int mpi_send(const struct comm *c, int to, const void *data, size_t n_bytes, struct err *e)
{
    (void)c;
    return move(true, to, (char *)(uintptr_t)data, n_bytes, e);
}

static int mpi_recv(const struct comm *c, int from, void *data, size_t n_bytes, struct err *e)
{
    (void)c;
    return move(false, from, data, n_bytes, e);
}

static void mpi_close(struct comm *c)
{
    struct err e = { 0 };
    if (comm_barrier(c, &e)) { /* waits patiently for the last one; MPI's own end would spin */
        log_err(&e);
        comm_abort(c, ERR_RESUME);
    }
    watch_last(mpi.deadline, "goodbyes", ERR_RESUME);
    beats_stop();
    watch_last(mpi.deadline, "MPI_Finalize", ERR_RESUME);
    mpi.door->close();
    watch_stop();
}

static void mpi_abort(const struct comm *c, int status)
{
    (void)c;
    watch_last(ABORT, "MPI_Abort", status);
    mpi.door->abort(status);
}

const struct comm_kind comm_mpi = {
    .name = "mpi",
    .doc = "processes started by mpirun or srun",
    .open = mpi_open,
    .send = mpi_send,
    .recv = mpi_recv,
    .close = mpi_close,
    .abort = mpi_abort,
};
