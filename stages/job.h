/* job.h - one run as a value: what the recipe asked, what the checkpoint holds, and for every module what will be done to
 * it. Stages fill it at plan time, before a tensor is read, and act on it at run time. */
#ifndef QP_STAGES_JOB_H
#define QP_STAGES_JOB_H
#include "base/hash.h"
#include "io/checkpoint.h"
#include "io/containers/container.h"
#include "io/save.h"
#include "model/model.h"
#include "model/walk.h"
#include "quant/act_observer.h"
#include "quant/clip.h"
#include "quant/grid.h"
#include "quant/observer.h"
#include "quant/solver.h"
#include "recipes/match.h"
#include "recipes/recipe.h"
#include "stages/smooth.h"
#include "text/dataset.h"

/* What became of one quantized module; all of it goes into the manifest. */
struct module_result {
    struct solve_result solve;
    double damp_frac; /* used; 0: no Gram matrix */
    int attempts;     /* of the ladder of dampening */
    int64_t tokens;   /* seen by its group */
};

/* The plan for one module. scheme == NULL: it stays as it is. */
struct module_job {
    const struct module *module;
    struct match_result match; /* the rule that decided, of the last modifier that looked at it */
    int stage;                 /* index of the modifier in the recipe; -1: none */
    const struct config_group *group;
    const struct quant_scheme *scheme;
    const struct grid *grid;
    const struct solver *solver;
    struct solve_options solve;
    enum actorder order;
    const struct observer *observer;
    struct observer_params observer_params;
    struct clip_options clip; /* n_grid 0: ranges are the observer's */
    struct grid_layout layout;
    float
        global_scale; /* shared with the matrices that a runtime joins with this one; 0: none, or not known yet */
    enum dtype dtype;          /* the weight's, on disk */
    struct act_observer input; /* while walking: of a static quantizer of its input */
    bool restored;             /* finished by an earlier run: its codes are on disk */
    bool done;
    struct module_result result;
};

struct load_state {
    struct checkpoint checkpoint;
    struct model model; /* model.arch == NULL: modules by names alone */
    struct err why;     /* then: what its architecture lacks */
};

/* SHA-256 of what was read: files by name, tensors in the order of the checkpoint. */
struct input_file {
    char *name;
    char sha256[HASH_HEX];
};
struct input_tensor {
    char sha256[HASH_HEX];
};
struct input_digests {
    struct input_file *file;
    int64_t n_files;
    struct input_tensor *tensor; /* [checkpoint.stored.count] */
};
void digests_release(struct input_digests *d);

struct comm;
struct job {
    const struct recipe *recipe;
    const struct comm *comm; /* the ranks that share the run */
    bool by_layers;          /* they share it by runs of blocks or modules, not by samples (ranks.h) */
    struct load_state load;
    struct module_job *module; /* [load.model.n_modules] */
    size_t n_quantized;
    bool allow_unmatched;
    bool needs_data;            /* some module needs a Gram matrix or importance */
    struct smooth_state smooth; /* what is scaled before anything is quantized */
    int64_t walk_end; /* > 0: the walk ends before this block; a rebuild of a few modules needs no more */
    enum walk_mode mode;
    const struct quant_args *kv_cache;         /* NULL: keys and values stay floats */
    struct act_observer key, value;            /* of the block that is walked */
    const struct calibrate_options *calibrate; /* NULL: no such stage */
    const struct verify_options *verify;       /* NULL: no such stage */
    const struct save_options *save;
    const struct container *container;
    struct dataset data;         /* calibration; n == 0: none is needed */
    struct dataset heldout;      /* verification; n == 0: weights only */
    struct strs notes;           /* said in plan and manifest */
    struct saver *saver;         /* while running */
    struct units *units;         /* while running: what is kept if it ends early; NULL: nothing is */
    struct input_digests inputs; /* after save */
};

/* A row of the stages table: what a stage does at plan time and at run time. Order of calls: plan of every stage of the
 * recipe in order; then run of calibrate; the pass over the model (pass.h); save; verify. */
struct stage {
    const char *name; /* stage_spec.name */
    int (*plan)(struct job *j, int index, struct err *e);
};
extern const struct stage *const stages[]; /* ends with NULL */

/* job_plan - opens the checkpoint, reads the model's shape, decides about every module. Nothing is computed. */
int job_plan(const struct recipe *r, bool allow_unmatched, struct job *out, struct err *e);
void job_release(struct job *j);
int job_note(struct job *j, struct err *e, const char *fmt, ...) QP_PRINTF(3, 4);
/* job_budget - bytes of activations held in memory: the calibrate stage's, or the default. */
int64_t job_budget(const struct job *j);
/* job_asymmetric - a module's target is moved by what quantization did before it: a walk with the original weights runs beside. */
bool job_asymmetric(const struct job *j);
bool job_calibrates(const struct job *j); /* calibration text is read: a quantizer or smoothing needs it */
/* job_tensors - the weights that are quantized and saved: those of the checkpoint, with the scales of smoothing. */
const struct tensor_source *job_tensors(const struct job *j);
struct module_job *job_module(const struct job *j, const char *name); /* NULL */

/* job_plan reads the texts, too: their mistakes come to light before anything is computed, and costs are exact. */
int calibrate_load(struct job *j, struct err *e); /* into j->data, when needs_data */
int verify_load(struct job *j,
                struct err *e); /* into j->heldout; ERR_INPUT when it overlaps the calibration text */

/* ---- run time ---- */
/* calibrate_length - tokens of a calibration sequence at most: the recipe's, or the model's positions up to 2048. */
int64_t calibrate_length(const struct job *j);
/* pass_run - the pass over the model: every planned module is solved and given to j->saver. spill_dir: for activations. */
int pass_run(struct job *j, const char *spill_dir, struct err *e);
/* stream_bytes - memory of a module whose matrix streams in strips; 0: the pass without data holds it whole. */
int64_t stream_bytes(const struct job *j, const struct module_job *m);
/* save_run - what no module claimed, side files and config.json; finishes the saver. dir: the output being written. */
struct side_file {
    char *name;
    char sha256[65];
    uint64_t bytes;
};
struct save_report {
    struct side_file *file;
    size_t n, cap;
};
int save_run(struct job *j, const char *dir, struct save_report *out, struct err *e);
void save_report_release(struct save_report *r);
int save_report_add(struct save_report *r, const char *name, uint64_t bytes, const char *sha256,
                    struct err *e);
/* write_file - a whole file in dir, with its hash added to the report. */
int write_file(const char *dir, const char *name, const struct buf *text, struct save_report *r,
               struct err *e);
#endif
