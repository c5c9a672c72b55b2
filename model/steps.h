/* steps.h - the 17 kinds of steps as a table: what each reads and writes beside the registers that its row names, whether
 * it owns matrices (one step, one statistics group), what it costs, and the function that runs it on one chunk. */
#ifndef QP_MODEL_STEPS_H
#define QP_MODEL_STEPS_H
#include "model/arch.h"
#include "model/config.h"
#include "model/model.h"

/* Weights of one block by role, float32, [out, in]; bias [out] or NULL. */
struct weights {
    float *w[P_COUNT], *b[P_COUNT];
};
/* One chunk in registers, beside the weights of the block that runs. Registers are dense: [t, config_width]. */
struct run {
    const struct model *m;
    const struct config *c;
    const struct layer *layer; /* NULL in prologue and epilogue */
    const struct weights *weights;
    const int32_t *ids;
    int64_t chunk, t;
    float *reg[REG_COUNT];
    float *cos[2], *sin[2];                /* of rope table i, for t positions */
    float *scratch;                        /* of attention */
    float *logits;                         /* [t, vocab]: where HEAD writes */
    const struct activation *act[P_COUNT]; /* of each matrix's input; NULL: float */
    const struct activation *key, *value;  /* of the cache; NULL: float */
    float *rounded;                        /* [t, widest input], where any of act may be there */
};
struct step_info {
    const char *name, *doc;
    unsigned reads, writes; /* bits of registers beside in and out */
    bool matrices;
    int (*run)(struct run *r, const struct step *s, struct err *e); /* NULL: not built */
    /* FLOPs a token, in a sequence of `length`; matrices are counted by their shapes, not here. */
    double (*flops)(const struct config *c, const struct layer *l, const struct step *s, int64_t length);
};
extern const struct step_info step_kinds[STEP_COUNT];

#define REG_BIT(r) ((r) == REG_NONE ? 0u : 1u << (r))

/* The steps of a block that hold for it, and their statistics groups. */
struct group {
    int step; /* where its first reader stands; == n of the plan for the head */
    enum reg in;
    int n;
    enum part_id part[GROUP_PARTS];
};
struct block_plan {
    const struct step *step[BLOCK_STEPS];
    int n; /* without HEAD */
    const struct step *head;
    struct group group[BLOCK_GROUPS];
    int n_groups;
    unsigned live[BLOCK_STEPS + 1]; /* registers that are needed before step i; [n]: behind the last */
};
int64_t live_floats(const struct config *c, unsigned live); /* floats a token of a set of registers */
/* block: -1 prologue, 0.. blocks, layers: epilogue */
void block_plan(const struct config *c, int64_t block, struct block_plan *p);

/* steps_attn.c, steps_linear.c */
int run_embed(struct run *r, const struct step *s, struct err *e);
int run_pos(struct run *r, const struct step *s, struct err *e);
int run_norm(struct run *r, const struct step *s, struct err *e);
int run_qkv(struct run *r, const struct step *s, struct err *e);
int run_qknorm(struct run *r, const struct step *s, struct err *e);
int run_rope(struct run *r, const struct step *s, struct err *e);
int run_attn(struct run *r, const struct step *s, struct err *e);
int run_lin(struct run *r, const struct step *s, struct err *e);
int run_add(struct run *r, const struct step *s, struct err *e);
int run_glu(struct run *r, const struct step *s, struct err *e);
int run_ffn(struct run *r, const struct step *s, struct err *e);
int run_head(struct run *r, const struct step *s, struct err *e);
int64_t attn_scratch(const struct config *c, int64_t length); /* floats that run_attn needs */
/* y [t, ldy] = x [t, ldx] W^T + b of one part. */
void run_linear(const struct run *r, enum part_id id, const float *x, int64_t ldx, float *y, int64_t ldy);
/* flops_attn: products with the keys and values in sight; flops_wide: a few operations a value. */
double flops_attn(const struct config *c, const struct layer *l, const struct step *s, int64_t length);
#endif
