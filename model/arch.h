/* arch.h - a family of decoders as one row of data: how config.json is read, which modules exist under which names, and
 * the steps of prologue, block and epilogue. No code asks which family it runs; what differs is a field, a flag, a row. */
#ifndef QP_MODEL_ARCH_H
#define QP_MODEL_ARCH_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct json;

/* The state of one sequence between two steps. X is the residual stream; T is scratch inside a step and never waits. */
enum reg {
    REG_X,
    REG_H,
    REG_Q,
    REG_K,
    REG_V,
    REG_C,
    REG_G,
    REG_A,
    REG_Y,
    REG_T,
    REG_COUNT,
    REG_NONE = REG_COUNT
};

/* Sizes that shapes are made of; config.dim[] holds their values. */
enum dim {
    DIM_ONE,
    DIM_HIDDEN,
    DIM_Q,
    DIM_KV,
    DIM_QKV,
    DIM_HEAD,
    DIM_HEADS,
    DIM_KV_HEADS,
    DIM_INTER,
    DIM_INTER2,
    DIM_VOCAB,
    DIM_EMBED,
    DIM_POSITIONS,
    DIM_COUNT
};

/* Yes or no, by config.json or by layer; config.flag[] holds the values. */
enum flag {
    FLAG_NEVER,
    FLAG_ALWAYS,
    FLAG_TIE,
    FLAG_ATTN_BIAS,
    FLAG_QKV_BIAS,
    FLAG_MLP_BIAS,
    FLAG_USE_WINDOW,
    FLAG_QK_NORM,
    FLAG_PARALLEL,
    FLAG_NEW_DECODER,
    FLAG_MULTI_QUERY,
    FLAG_TWO_NORMS,
    FLAG_ONE_NORM,
    FLAG_SERIAL,
    FLAG_ALIBI,
    FLAG_NORM_BEFORE,
    FLAG_NORM_AFTER,
    FLAG_NO_FINAL_NORM,
    FLAG_FINAL_NORM,
    FLAG_NORM_AFFINE,
    FLAG_FINAL_AFFINE,
    FLAG_PROJECT,
    FLAG_WHOLE,
    FLAG_POST_RESIDUAL,
    FLAG_SCALE_BY_LAYER,
    FLAG_ROPE,
    FLAG_SPARSE,
    FLAG_DENSE,
    FLAG_LINEAR,
    FLAG_FULL, /* of the layer */
    FLAG_COUNT
};

/* Roles of a module in the steps. */
enum part_id {
    P_NONE,
    P_EMBED,
    P_POS,
    P_EMBED_NORM,
    P_PROJECT_IN,
    P_ATTN,
    P_N1,
    P_Q,
    P_K,
    P_V,
    P_QKV,
    P_O,
    P_QNORM,
    P_KNORM,
    P_N1B,
    P_N2,
    P_GATE,
    P_UP,
    P_GATE_UP,
    P_FC1,
    P_DOWN,
    P_N2B,
    P_FINAL,
    P_PROJECT_OUT,
    P_HEAD,
    P_COUNT
};
enum part_kind {
    PART_LINEAR,    /* weight [out, in] */
    PART_CONV1D,    /* weight [in, out] on disk, [out, in] in memory */
    PART_NORM,      /* weight [out] */
    PART_HEADNORM,  /* weight [out, in]: a row per head */
    PART_HEADNORMS, /* out modules, each with weight [in] */
    PART_EMBED,     /* weight [out, in], read by rows */
    PART_BOX,       /* a module that holds others and has no tensor of its own */
};
enum place { PLACE_PROLOGUE, PLACE_BLOCK, PLACE_EPILOGUE };
struct part {
    enum part_id id; /* P_NONE ends the list */
    enum place place;
    enum part_kind kind;
    const char
        *name; /* behind the base prefix (blocks: behind "<base><layers>.<i>."); "/x": the whole name */
    const char *tensor; /* the same for the file when it differs, or NULL; ".weight" is added */
    enum dim out, in;
    enum flag bias, when;
};

/* The 17 kinds (steps.h has the table of what they do). */
enum step_kind {
    STEP_EMBED,
    STEP_POS,
    STEP_NORM,
    STEP_QKV,
    STEP_MLA,
    STEP_QKNORM,
    STEP_ROPE,
    STEP_ATTN,
    STEP_GATE,
    STEP_CONV,
    STEP_DELTA,
    STEP_LIN,
    STEP_ADD,
    STEP_GLU,
    STEP_FFN,
    STEP_MOE,
    STEP_HEAD,
    STEP_COUNT
};
enum { STEP_PARTS = 4, BLOCK_STEPS = 24, BLOCK_GROUPS = 12, GROUP_PARTS = 8 };
struct step {
    enum step_kind kind;           /* STEP_COUNT ends the list */
    enum reg in, out;              /* of the step; further ones belong to the kind */
    enum part_id part[STEP_PARTS]; /* those that the family has */
    enum flag when;
};
struct block_list {
    enum flag when; /* the first list whose flag holds is the family's block */
    const struct step *steps;
};

/* One key of config.json by its meaning. */
enum key_type { KEY_INT, KEY_REAL, KEY_FLAG, KEY_ACT };
struct key {
    const char
        *names; /* "hidden_size|n_embd": the first one present and not null counts; "a.b" looks into object a;
                         * "" is a constant; NULL ends the list */
    enum key_type type;
    size_t at;       /* offsetof in struct config; KEY_FLAG: the flag; KEY_ACT: a k_act is kept there */
    double def;      /* REQUIRED (config.h): the key must be there */
    double min, max; /* KEY_INT, KEY_REAL */
    bool null_zero;  /* an explicit null means 0, not the default */
};

enum norm_kind { NORM_RMS, NORM_LN };
enum qkv_layout { QKV_CAT, QKV_GROUPS }; /* of a fused tensor: [q,k,v]; per key head [q.., k, v] */
enum qknorm_kind { QKNORM_HEAD, QKNORM_WHOLE, QKNORM_ROWS };
enum window_rule {
    WINDOW_NONE,
    WINDOW_ALL,    /* every layer, if there is a window */
    WINDOW_LATE,   /* layers >= max_window_layers, if use_sliding_window */
    WINDOW_EVEN,   /* 0, 2, ... */
    WINDOW_PERIOD, /* all but every sliding_window_pattern-th */
    WINDOW_NOPE,   /* layers without rope, if use_sliding_window */
};
enum rope_rule {
    ROPE_NONE,
    ROPE_ALL,
    ROPE_BY_KIND, /* two tables: full layers 0, window layers 1 */
    ROPE_WINDOW,  /* only on layers with a window */
    ROPE_LISTED,  /* no_rope_layers[i] != 0, or all but every no_rope_layer_interval-th */
};

enum alibi_rule {
    ALIBI_NONE,
    ALIBI_LOW,
    ALIBI_HIGH
}; /* slopes from the power of two below or above the heads */

struct arch {
    const char *name;    /* model_type */
    const char *aliases; /* further model_types, "a|b", or NULL */
    const char *doc;
    const char *missing; /* what is not built beside steps (NULL: nothing) */
    const char *base, *layers;
    const char *const *norm_classes, *const *attn_classes,
                                         *const *linear_classes; /* NULL linear: Linear, Module */
    const struct key *keys; /* own rows; they replace common rows of the same meaning */
    const struct part *parts;
    const struct step *prologue, *epilogue;
    struct block_list block[5];
    enum norm_kind norm;
    float norm_offset; /* 1: weights are stored minus one */
    enum qkv_layout qkv;
    enum qknorm_kind qknorm;
    bool rope_pairs, rope_su; /* su and yarn mean longrope */
    enum window_rule window;
    bool layer_types; /* config.json's layer_types counts */
    enum rope_rule rope;
    enum alibi_rule alibi;
    bool embed_sqrt;                                                      /* embedding times sqrt(hidden) */
    int (*derive)(struct config *c, const struct json *j, struct err *e); /* odd rules of a family, or NULL */
    const char *const
        *skip; /* tails of tensor names that the file may hold and nobody reads; ends with NULL */
};
const struct arch *arch_row(int64_t i); /* NULL behind the last */
bool arch_built(const struct arch *a);
const struct arch *arch_find(const char *model_type); /* names and aliases; NULL */
int arch_unknown(const char *model_type, const char *file,
                 struct err *e); /* ERR_UNBUILT with the nearest names */
/* arch_check - ERR_UNBUILT naming the family and its missing steps, or 0. */
int arch_check(const struct arch *a, struct err *e);
/* The rows, by file. */
extern const struct arch *const families_rms[], *const families_ln[],
                                                    *const families_later[]; /* end with NULL */
#endif
