/* smooth_specs.c - option tables of the modifiers that smooth: AWQModifier, SmoothQuantModifier and its old name. */
#include "recipes/specs.h"

#include <stddef.h>

static const char *const duos[] = { "false", "true", "both", NULL };
static const char *const searches[] = { "gram", "output", NULL };
static const char *const algorithms[] = { "smoothquant", "log_equalization", NULL };

#define MAPPINGS "Which layers are scaled and what balances them; by architecture when left out."
static const struct opt awq_table[] = {
    { .name = "mappings", .type = OPT_NODE, .at = offsetof(struct awq_options, mappings), .doc = MAPPINGS },
    { .name = "duo_scaling",
      .type = OPT_ENUM,
      .at = offsetof(struct awq_options, duo_scaling),
      .def = AWQ_DUO_TRUE,
      .words = duos,
      .doc = "Use weights as well as activations in the scales." },
    { .name = "n_grid",
      .type = OPT_INT,
      .at = offsetof(struct awq_options, n_grid),
      .def = 20,
      .min = 2,
      .max = 10000,
      .unit = "points",
      .doc = "Ratios that are tried; at least 3 with duo_scaling." },
    { .name = "offload_device",
      .type = OPT_STR,
      .at = offsetof(struct awq_options, offload_device),
      .flags = OPT_NULLABLE,
      .doc = "Where inputs are kept in llm-compressor, without effect here." },
    { .name = "search",
      .type = OPT_ENUM,
      .at = offsetof(struct awq_options, search),
      .words = searches,
      .flags = OPT_NATIVE,
      .doc =
          "What a candidate is judged by. gram: the error of the balance layers' outputs, from the Gram matrix of their input; output: that of their parent's output, run again for each candidate, as llm-compressor does (its files mean this)." },
    { .name = "grouped_values",
      .type = OPT_BOOL,
      .at = offsetof(struct awq_options, grouped_values),
      .flags = OPT_NATIVE,
      .doc = "Also scale v for o where several query heads share values, which llm-compressor leaves out." },
    { .name = "clip",
      .type = OPT_BOOL,
      .at = offsetof(struct awq_options, clip),
      .flags = OPT_NATIVE,
      .doc =
          "Search for clipped ranges of whatever is quantized behind, but queries and keys, as the AWQ paper does and llm-compressor does not." },
    { .name = "clip_grid",
      .type = OPT_INT,
      .at = offsetof(struct awq_options, clip_grid),
      .def = 20,
      .min = 1,
      .max = 10000,
      .unit = "points",
      .flags = OPT_NATIVE,
      .doc = "With clip: steps of the whole range." },
    { .name = "clip_shrink",
      .type = OPT_REAL,
      .at = offsetof(struct awq_options, clip_shrink),
      .def = 0.5,
      .max = 1,
      .flags = OPT_NATIVE,
      .doc = "With clip: the share of the range that the search may take away." },
    { .name = NULL },
};
static const struct opt_gone awq_gone[] = {
    { "max_chunk_memory", "was removed in llm-compressor 0.6" },
    { "sequential_targets", "was removed in llm-compressor 0.11; blocks come from the architecture's table" },
    { NULL, NULL },
};

#define ROWS(rule)                                                                               \
    { .name = "mappings",                                                                        \
      .type = OPT_NODE,                                                                          \
      .at = offsetof(struct smoothquant_options, mappings),                                      \
      .doc = MAPPINGS },                                                                         \
        { .name = "smoothing_strength",                                                          \
          .type = OPT_REAL,                                                                      \
          .at = offsetof(struct smoothquant_options, smoothing_strength),                        \
          .def = 0.5,                                                                            \
          .max = 1,                                                                              \
          .doc = "Share of the range that moves into the weights." },                            \
        { .name = "algorithm",                                                                   \
          .type = OPT_ENUM,                                                                      \
          .at = offsetof(struct smoothquant_options, algorithm),                                 \
          .def = rule,                                                                           \
          .words = algorithms,                                                                   \
          .doc = "How scales follow from ranges." },                                             \
        { .name = "ignore",                                                                      \
          .type = OPT_NODE,                                                                      \
          .at = offsetof(struct smoothquant_options, ignore),                                    \
          .doc = "Layers that are left out: a mapping is, when all of its layers are listed." }, \
    {                                                                                            \
        .name = NULL                                                                             \
    }
static const struct opt smooth_table[] = { ROWS(0) };
static const struct opt log_table[] = { ROWS(1) };
static const struct opt_gone smooth_gone[] = {
    { "calibration_function", "is a Python object and of no use in a recipe" },
    { NULL, NULL },
};

const struct stage_spec spec_awq = {
    .name = "AWQModifier",
    .aliases = "awq",
    .kind = STAGE_MODIFIER,
    .doc = "Scales channels by activation-aware search (arXiv:2306.00978).",
    .options = awq_table,
    .gone = awq_gone,
    .size = sizeof(struct awq_options),
    .needs_data = true,
    .transforms = true,
};
const struct stage_spec spec_smoothquant = {
    .name = "SmoothQuantModifier",
    .aliases = "smoothquant",
    .kind = STAGE_MODIFIER,
    .doc = "Moves activation outliers into weights (arXiv:2211.10438).",
    .options = smooth_table,
    .gone = smooth_gone,
    .size = sizeof(struct smoothquant_options),
    .needs_data = true,
    .transforms = true,
};
const struct stage_spec spec_logeq = {
    .name = "LogarithmicEqualizationModifier",
    .aliases = "",
    .kind = STAGE_MODIFIER,
    .doc = "SmoothQuant with logarithmic scales (an old name).",
    .options = log_table,
    .gone = smooth_gone,
    .size = sizeof(struct smoothquant_options),
    .needs_data = true,
    .transforms = true,
};
