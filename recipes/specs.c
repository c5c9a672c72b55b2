/* specs.c - option tables of the stages and modifiers that are built, and the list of all. What the peer knows and this
 * version does not do yet is peer_specs.c. */
#include "recipes/specs.h"
#include "base/activation.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const char *const packings[] = { "truncate", "concatenate", NULL };
static const char *const sequences[] = { "true", "block", "false", NULL };
static const char *const orders[] = { "none", "weight", "static", "auto", NULL };
static const char *const dampings[] = { "fixed", "auto", "quick", NULL };
static const char *const calibrations[] = { "symmetric", "asymmetric", NULL };
static const char *const gptq_presets[] = { "none", "fast", "best", NULL };
static const char *const scale_searches[] = { "none", "mse", "importance", "feedback", NULL };
static const char *const formats[] = { "compressed-tensors", NULL };

#define INT(n, f, d, lo, hi, u, t)                                                                          \
    {                                                                                                       \
        .name = n, .type = OPT_INT, .at = offsetof(struct S, f), .def = d, .min = lo, .max = hi, .unit = u, \
        .doc = t                                                                                            \
    }
#define REAL(n, f, d, lo, hi, u, t)                                                                          \
    {                                                                                                        \
        .name = n, .type = OPT_REAL, .at = offsetof(struct S, f), .def = d, .min = lo, .max = hi, .unit = u, \
        .doc = t                                                                                             \
    }
#define BOOL(n, f, d, t)                                                             \
    {                                                                                \
        .name = n, .type = OPT_BOOL, .at = offsetof(struct S, f), .def = d, .doc = t \
    }
#define WORD(n, f, d, w, t)                                                                      \
    {                                                                                            \
        .name = n, .type = OPT_ENUM, .at = offsetof(struct S, f), .def = d, .words = w, .doc = t \
    }
#define END          \
    {                \
        .name = NULL \
    }

static const struct opt no_options[] = { END };

#define S calibrate_options
static const struct opt calibrate_table[] = {
    { .name = "dataset",
      .type = OPT_PATH,
      .at = offsetof(struct S, dataset),
      .doc =
          "Text (.txt, .jsonl, .json, also compressed or in an archive) or token ids (JSON lists, safetensors)." },
    { .name = "field",
      .type = OPT_STR,
      .at = offsetof(struct S, field),
      .flags = OPT_NULLABLE,
      .doc = "JSON key of the text (default text), or name of the tensor of token ids." },
    INT("samples", samples, 512, 0, 1e12, "sequences", "Calibration sequences at most; 0: all there are."),
    INT("sequence_length", sequence_length, 0, 0, 1 << 24, "tokens",
        "Tokens of a sequence at most; 0: the model's positions, at most 2048."),
    INT("min_length", min_length, 1, 1, 1 << 24, "tokens", "Shorter sequences are skipped, and counted."),
    WORD("packing", packing, 0, packings,
         "One sequence a record, cut; or all records joined and cut into full sequences."),
    BOOL("shuffle", shuffle, 1, "Records in an order drawn from the seed."),
    BOOL("special_tokens", special_tokens, 1, "With the special tokens that the tokenizer adds."),
    WORD(
        "sequential", sequential, 0, sequences,
        "true: every group sees inputs made by quantized weights; block: as llm-compressor, two passes a block; false: inputs of the original model."),
    { .name = "activation_budget",
      .type = OPT_BYTES,
      .at = offsetof(struct S, activation_budget),
      .def = 2147483648.0,
      .max = 9e18,
      .unit = "bytes",
      .doc =
          "Activations held in memory; the rest goes through a file beside the output. The result does not depend on it." },
    END,
};
#undef S
#define S gptq_options
static const struct opt gptq_table[] = {
    INT("block_size", block_size, 128, 1, 1 << 20, "columns", "Columns of one pass; a matter of speed only."),
    REAL("dampening_frac", dampening_frac, 0.01, 1e-9, 1, "of mean(diag H)",
         "Added to the Hessian's diagonal before factoring."),
    { .name = "actorder",
      .type = OPT_ENUM,
      .at = offsetof(struct S, actorder),
      .def = GPTQ_NOT_GIVEN,
      .words = orders,
      .flags = OPT_NULLABLE,
      .null_value = GPTQ_NONE,
      .doc =
          "Order of columns: static (weight is the same): by falling diagonal of the Hessian; null: as they stand; auto: as the config group says, else static." },
    { .name = "damping",
      .type = OPT_ENUM,
      .at = offsetof(struct S, damping),
      .def = 0,
      .words = dampings,
      .flags = OPT_NATIVE,
      .doc =
          "auto: chosen per input group by solving on one half of the tokens and scoring on the other; quick: the same on half of the columns." },
    { .name = "preset",
      .type = OPT_ENUM,
      .at = offsetof(struct S, preset),
      .words = gptq_presets,
      .flags = OPT_NATIVE,
      .doc =
          "Options at once, each of which may be given beside it: fast (default here), best, none (llm-compressor's meaning)." },
    { .name = "scale_search",
      .type = OPT_ENUM,
      .at = offsetof(struct S, scale_search),
      .words = scale_searches,
      .flags = OPT_NATIVE,
      .doc =
          "Scales: none, as the observer says; or searched for the least error to the power 2.5, columns alike (mse) or weighted by E[x^2] (importance), or for GPTQ's own loss in each group (feedback)." },
    { .name = "refit",
      .type = OPT_INT,
      .at = offsetof(struct S, refit),
      .max = 20,
      .flags = OPT_NATIVE,
      .unit = "rounds",
      .doc = "Scales fitted to the codes by least squares, then GPTQ again; sweeps then fit scales, too." },
    { .name = "sweeps",
      .type = OPT_INT,
      .at = offsetof(struct S, sweeps),
      .max = 100,
      .flags = OPT_NATIVE,
      .unit = "passes",
      .doc = "Coordinate descent over codes at the end (arXiv:2309.01885)." },
    { .name = "calibration",
      .type = OPT_ENUM,
      .at = offsetof(struct S, calibration),
      .words = calibrations,
      .flags = OPT_NATIVE,
      .doc =
          "asymmetric: weights are first moved towards what gives the original outputs from the inputs of the quantized model; the original is walked beside it." },
    { .name = "alpha",
      .type = OPT_REAL,
      .at = offsetof(struct S, alpha),
      .def = 1.0,
      .max = 1,
      .flags = OPT_NATIVE,
      .doc = "How far asymmetric calibration moves weights." },
    { .name = "batched_quantization",
      .type = OPT_STR,
      .at = offsetof(struct S, batched_quantization),
      .flags = OPT_NULLABLE,
      .def_str = "auto",
      .doc =
          "auto, null or a count; how many modules llm-compressor solves at once on a GPU, without effect here." },
    END,
};
#undef S
#define S verify_options
static const struct opt verify_table[] = {
    { .name = "dataset",
      .type = OPT_PATH,
      .at = offsetof(struct S, dataset),
      .doc = "Held-out text; without it only weights are compared." },
    { .name = "field",
      .type = OPT_STR,
      .at = offsetof(struct S, field),
      .flags = OPT_NULLABLE,
      .doc = "JSON key of the text, or name of the tensor of token ids." },
    INT("samples", samples, 64, 0, 1e12, "windows", "Windows at most; 0: all."),
    INT("sequence_length", sequence_length, 512, 2, 1 << 24, "tokens",
        "Length of a window; documents are joined and cut into full ones."),
    REAL("max_kl", max_kl, (double)NAN, 0, 1e9, "nats",
         "Fails above this mean KL divergence from the original."),
    REAL("max_perplexity_ratio", max_perplexity_ratio, (double)NAN, 0, 1e9, NULL,
         "Fails above this ratio of perplexities."),
    REAL("max_weight_error", max_weight_error, (double)NAN, 0, 1e9, NULL,
         "Fails when a module's relative weight error is above."),
    REAL("min_top1", min_top1, (double)NAN, 0, 1, NULL,
         "Fails when the most likely token agrees less often."),
    BOOL("allow_overlap", allow_overlap, 0,
         "Score text that shares 64 tokens in a row (or a whole window) with the calibration text."),
    WORD(
        "activations", activations, ACTIVATIONS_SIMULATE, simulate_words,
        "simulate: inputs, keys and values are rounded as the scheme asks a runtime to; float: weights alone."),
    END,
};
#undef S
#define S save_options
static const struct opt save_table[] = {
    WORD("format", format, 0, formats, "Container of the checkpoint."),
    { .name = "shard_size",
      .type = OPT_BYTES,
      .at = offsetof(struct S, shard_size),
      .def = 5e9,
      .min = 1 << 10,
      .max = 9e18,
      .unit = "bytes",
      .doc = "A file is begun anew when it would grow beyond." },
    BOOL("copy_files", copy_files, 1, "Copy tokenizer and other small files of the source."),
    { .name = "archive",
      .type = OPT_PATH,
      .at = offsetof(struct S, archive),
      .doc =
          "Also writes the output as one file: .tar, .tar.gz, .tar.xz or .tar.zst, with equal bytes for equal outputs." },
    END,
};
#undef S

static const struct opt_gone gptq_gone[] = {
    { "sequential_update",
      "was removed in llm-compressor 0.8; true sequence is `calibrate: { sequential: true }`" },
    { "sequential_targets", "was removed in llm-compressor 0.11; blocks come from the architecture's table" },
    { "quantize", "was removed in llm-compressor 0.5; give scheme or config_groups" },
    { "offload_hessians", "was removed in llm-compressor 0.14; Hessians live one group at a time here" },
    { "num_calibration_steps", "was removed in llm-compressor 0.5; give samples under calibrate" },
    { "disable_quantization_observer_epoch", "was removed in llm-compressor 0.5" },
    { NULL, NULL },
};
static const struct opt_gone rtn_gone[] = {
    { "num_calibration_steps", "was removed in llm-compressor 0.5; give samples under calibrate" },
    { "disable_quantization_observer_epoch", "was removed in llm-compressor 0.5" },
    { NULL, NULL },
};

const struct stage_spec spec_load = {
    .name = "load",
    .aliases = "",
    .kind = STAGE_LOAD,
    .doc = "Opens the source checkpoint.",
    .options = no_options,
    .size = sizeof(struct load_options),
};
const struct stage_spec spec_calibrate = {
    .name = "calibrate",
    .aliases = "",
    .kind = STAGE_CALIBRATE,
    .doc = "Reads calibration text and says how it is walked.",
    .options = calibrate_table,
    .size = sizeof(struct calibrate_options),
};
const struct stage_spec spec_gptq = {
    .name = "GPTQModifier",
    .aliases = "gptq",
    .kind = STAGE_MODIFIER,
    .doc = "Error feedback against the Gram matrix of each input (arXiv:2210.17323).",
    .options = gptq_table,
    .gone = gptq_gone,
    .size = sizeof(struct gptq_options),
    .quantizes = true,
    .needs_data = true,
};
const struct stage_spec spec_rtn = {
    .name = "QuantizationModifier",
    .aliases = "rtn",
    .kind = STAGE_MODIFIER,
    .doc = "Rounds every weight to the nearest value of its grid.",
    .options = no_options,
    .gone = rtn_gone,
    .size = sizeof(struct rtn_options),
    .quantizes = true,
};
const struct stage_spec spec_verify = {
    .name = "verify",
    .aliases = "",
    .kind = STAGE_VERIFY,
    .doc = "Measures what was saved, read from disk, against the original.",
    .options = verify_table,
    .size = sizeof(struct verify_options),
};
const struct stage_spec spec_save = {
    .name = "save",
    .aliases = "",
    .kind = STAGE_SAVE,
    .doc = "Writes the checkpoint.",
    .options = save_table,
    .size = sizeof(struct save_options),
};

const struct stage_spec *const stage_specs[] = {
    &spec_load,        &spec_calibrate, &spec_rtn,       &spec_gptq,  &spec_awq,
    &spec_smoothquant, &spec_logeq,     &spec_sparsegpt, &spec_wanda, &spec_magnitude,
    &spec_constant,    &spec_reap,      &spec_spinquant, &spec_quip,  &spec_autoround,
    &spec_imatrix,     &spec_verify,    &spec_save,      NULL,
};

const struct stage_spec *stage_spec_find(const char *name)
{
    for (const struct stage_spec *const *s = stage_specs; *s; s++)
        if (!strcmp((*s)->name, name) || (*(*s)->aliases && !strcmp((*s)->aliases, name)))
            return *s;
    return NULL;
}

const struct dialect dialects[] = {
    { "0.14", 14, "llm-compressor 0.14 (2026): the newest, and the default" },
    { "0.13", 13, "llm-compressor 0.13" },
    { "0.12", 12, "llm-compressor 0.12: Hessians are plain sums from here on" },
    { "0.11", 11, "llm-compressor 0.11: sequence length follows the model from here on" },
    { "0.10", 10, "llm-compressor 0.10" },
    { "0.9", 9, "llm-compressor 0.9: samples are not shuffled" },
    { "0.8", 8, "llm-compressor 0.8: static column order from here on" },
    { "0.7", 7, "llm-compressor 0.7: GPTQ takes columns as they stand" },
    { "0.6", 6, "llm-compressor 0.6" },
    { "0.5", 5, "llm-compressor 0.5: mse observers shrink to 0.20 from here on" },
    { "0.4", 4, "llm-compressor 0.4" },
    { "0.3", 3, "llm-compressor 0.3: mse observers shrink to 0.80" },
    { NULL, 0, NULL },
};

const struct dialect *dialect_find(const char *name)
{
    for (const struct dialect *d = dialects; d->name; d++)
        if (!strcmp(d->name, name))
            return d;
    return NULL;
}

/* Defaults that differed in the releases [from, before). */
static const struct drift {
    const struct stage_spec *spec;
    const char *option;
    int from, before;
    double def;
} drifts[] = {
    { &spec_gptq, "actorder", 0, 8, GPTQ_NONE },
    { &spec_calibrate, "sequence_length", 0, 11, 384 },
    { &spec_calibrate, "shuffle", 9, 10, 0 },
};

void specs_drift(const struct stage_spec *spec, const struct dialect *d, void *options)
{
    for (size_t i = 0; i < sizeof drifts / sizeof *drifts; i++) {
        const struct drift *r = &drifts[i];
        if (r->spec != spec || d->order < r->from || d->order >= r->before)
            continue;
        const struct opt *o = opt_find(spec->options, r->option);
        char *at = (char *)options + o->at;
        if (o->type == OPT_ENUM)
            *(int *)(void *)at = (int)r->def;
        else if (o->type == OPT_BOOL)
            *(bool *)(void *)at = r->def != 0;
        else
            *(int64_t *)(void *)at = (int64_t)r->def;
    }
}

enum { ALWAYS = 1000 };
/* What releases had and dropped. Data that no longer exists changes nothing when it says what is done anyway. */
static const struct former formers[] = {
    { &spec_gptq, "sequential_update", 0, 8, "true",
      "write calibrate: { sequential: block } for inputs of the unquantized block" },
    { &spec_gptq, "sequential_targets", 0, 11, "null",
      "leave it out; blocks come from the architecture's table" },
    { &spec_gptq, "quantize", 0, 5, "true", "give scheme or config_groups" },
    { &spec_gptq, "offload_hessians", 4, 14, NULL, NULL },
    { &spec_gptq, "num_calibration_steps", 0, 5, "null", "give samples under calibrate" },
    { &spec_gptq, "disable_quantization_observer_epoch", 0, 5, "null", "leave it out" },
    { &spec_rtn, "num_calibration_steps", 0, 5, "null", "give samples under calibrate" },
    { &spec_rtn, "disable_quantization_observer_epoch", 0, 5, "null", "leave it out" },
    { &spec_awq, "sequential_targets", 0, 11, "null",
      "leave it out; blocks come from the architecture's table" },
    { &spec_awq, "max_chunk_memory", 5, 6, NULL, NULL },
    { &spec_smoothquant, "num_calibration_steps", 0, ALWAYS, NULL, NULL }, /* taken, and read by nobody */
    { &spec_logeq, "num_calibration_steps", 0, ALWAYS, NULL, NULL },
};

const struct former *specs_former(const struct stage_spec *spec, const char *option, const struct dialect *d)
{
    for (size_t i = 0; i < sizeof formers / sizeof *formers; i++) {
        const struct former *f = &formers[i];
        if (f->spec == spec && !strcmp(f->option, option) && d->order >= f->from && d->order < f->before)
            return f;
    }
    return NULL;
}

double specs_maxshrink(const struct dialect *d) { return d->order < 5 ? 0.80 : (double)NAN; }
