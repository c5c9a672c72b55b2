/* options.h - the options of every stage and modifier as plain structs, with their tables (specs.c, peer_specs.c). Option
 * tables live here, not in stages, because both grammars, the dialects, `schema`, `help` and the docs need them without
 * the behaviour. */
#ifndef QP_RECIPES_OPTIONS_H
#define QP_RECIPES_OPTIONS_H
#include "base/node.h"
#include "base/opt.h"
#include "base/scheme.h"
#include "base/str.h"

struct load_options {
    int none; /* no options yet */
};
struct calibrate_options {
    char *dataset;             /* path; --dataset */
    char *field;               /* "text" */
    int64_t samples;           /* 512 */
    int64_t sequence_length;   /* 0: the model's max_position_embeddings, at most 2048 */
    int64_t min_length;        /* 1 */
    int packing;               /* truncate, concatenate */
    bool shuffle;              /* true */
    bool special_tokens;       /* true */
    int sequential;            /* enum: true, block, false  (walk_mode) */
    int64_t activation_budget; /* bytes of activations held in memory; 2 GiB */
};
/* not given: static unless a config group says otherwise */
enum gptq_order { GPTQ_NONE, GPTQ_WEIGHT, GPTQ_STATIC, GPTQ_NOT_GIVEN };
struct gptq_options {
    int64_t block_size;
    double dampening_frac; /* the first try when damping is auto */
    int actorder;          /* enum gptq_order */
    int damping;           /* enum: fixed, auto, quick */
    char *batched_quantization;
    int preset;       /* enum gptq_preset; what it means is in presets.c, and already done */
    int scale_search; /* enum: none, mse, importance, feedback */
    int64_t refit, sweeps;
    int calibration; /* enum: symmetric, asymmetric */
    double alpha;
};
enum awq_search_word { AWQ_SEARCH_GRAM, AWQ_SEARCH_OUTPUT };
enum awq_duo_word { AWQ_DUO_FALSE, AWQ_DUO_TRUE, AWQ_DUO_BOTH };
struct awq_options {
    const struct node *mappings; /* mapping_rules_read; NULL: of the architecture */
    int duo_scaling;             /* enum awq_duo_word */
    int64_t n_grid;
    char *offload_device;
    bool grouped_values;
    int search; /* enum awq_search_word */
    bool clip;
    int64_t clip_grid;
    double clip_shrink;
};
struct smoothquant_options {
    const struct node *mappings, *ignore;
    double smoothing_strength;
    int algorithm; /* enum: smoothquant, log_equalization */
};
enum gptq_preset { PRESET_NONE, PRESET_FAST, PRESET_BEST };
struct rtn_options {
    int none; /* all of its options are the shared ones */
};
struct verify_options {
    char *dataset; /* held-out text; NULL: no model metrics, only weights */
    char *field;
    int64_t samples, sequence_length;
    double max_kl, max_perplexity_ratio, max_weight_error; /* NAN: no threshold */
    double min_top1;                                       /* NAN: no threshold */
    bool allow_overlap;
    int activations; /* enum simulate (base/activation.h) */
};
struct save_options {
    int format;         /* index into a words list of container names: "compressed-tensors" */
    int64_t shard_size; /* bytes; 5 GB */
    bool copy_files;
    char *archive; /* a file beside the output, or NULL */
};

/* What a runtime will do with the checkpoint: checks at plan time, nothing in the weights (serve.c). */
enum serve_fused { SERVE_JOINED, SERVE_NOTED, SERVE_SEPARATE };
struct serve_options {
    int64_t tensor_parallel; /* 1: not split */
    int fused;               /* enum serve_fused */
    struct src_pos at;       /* line 0: not in the recipe */
};
extern const struct opt serve_table[];
extern const char *const serve_fused_words[];

/* Config groups after presets, defaults and dialect are applied: what a quantizing modifier does. */
struct config_group {
    char *name; /* "group_0" */
    struct strs targets;
    struct src_pos *target_at; /* [targets.n] */
    struct quant_scheme scheme;
    struct src_pos at;
};
struct quant_config {
    struct config_group *group;
    size_t n;
    struct strs ignore;
    struct src_pos *ignore_at; /* [ignore.n] */
    struct strs optional;      /* targets and ignore entries that may match nothing */
    bool has_kv_cache;
    struct quant_args kv_cache;
    bool bypass_divisibility_checks;
};

enum stage_kind { STAGE_LOAD, STAGE_CALIBRATE, STAGE_MODIFIER, STAGE_VERIFY, STAGE_SAVE };
struct stage_spec {
    const char *name;    /* "GPTQModifier"; native name and aliases are accepted, too */
    const char *aliases; /* "gptq" */
    enum stage_kind kind;
    const char *doc;
    const struct opt *options; /* over the struct above; ends with name == NULL */
    const struct opt_gone *gone;
    size_t size;         /* of the struct */
    bool quantizes;      /* takes scheme, targets, ignore, config_groups, ... into a quant_config */
    const char *unbuilt; /* NULL: built. Else why it is refused at plan time */
    bool needs_data;     /* whatever its schemes are */
    bool transforms;     /* prepares weights for quantizers: stands before all of them */
};
extern const struct stage_spec *const stage_specs[];        /* ends with NULL */
const struct stage_spec *stage_spec_find(const char *name); /* by name or alias, case counts; NULL */
extern const struct opt quant_mixin_options[]; /* scheme, targets, ignore, ...: for help and schema */

/* A release of llm-compressor whose defaults a recipe may pin; newest first; ends with name == NULL. */
struct dialect {
    const char *name; /* "0.14" */
    int order;        /* 14 */
    const char *doc;
};
extern const struct dialect dialects[];
const struct dialect *dialect_find(const char *name);
#endif
