/* peer_specs.c - modifiers of llm-compressor that are known by name, with their options, and not built yet: a recipe that
 * uses one is checked like any other and then refused at plan time. */
#include "recipes/specs.h"

#include "base/num.h"

#include <stddef.h>
#include <string.h>

#define UNBUILT "known from llm-compressor, not built in this version"

/* One struct serves all of them: nobody reads the values yet but the checks of range and spelling. */
struct peer_options {
    const struct node *mappings, *norm_mappings, *scheduler_args, *ignore, *targets, *sparsity_profile;
    int64_t block_size, iters, batch_size, transform_block_size;
    double sparsity, init_sparsity, final_sparsity, dampening_frac, lr, owl_m, owl_lmbda;
    int transform_type;
    char *mask_structure, *update_scheduler, *precision, *report_path, *device_ids;
    struct strs rotations;
    bool preserve_sparsity_mask, randomize, learnable, leave_enabled, apply_globally, compile,
        disable_opt_rtn, offload_hessians;
};
static const char *const transforms[] = { "hadamard", "random-hadamard", "random-matrix", NULL };

#define S     peer_options
#define AT(f) offsetof(struct S, f)
#define NODE(n, f, t)                                      \
    {                                                      \
        .name = n, .type = OPT_NODE, .at = AT(f), .doc = t \
    }
#define INT(n, f, d, lo, hi, u, t)                                                                   \
    {                                                                                                \
        .name = n, .type = OPT_INT, .at = AT(f), .def = d, .min = lo, .max = hi, .unit = u, .doc = t \
    }
#define REAL(n, f, d, lo, hi, t)                                                           \
    {                                                                                      \
        .name = n, .type = OPT_REAL, .at = AT(f), .def = d, .min = lo, .max = hi, .doc = t \
    }
#define BOOL(n, f, d, t)                                             \
    {                                                                \
        .name = n, .type = OPT_BOOL, .at = AT(f), .def = d, .doc = t \
    }
#define STR(n, f, d, t)                                                                        \
    {                                                                                          \
        .name = n, .type = OPT_STR, .at = AT(f), .def_str = d, .flags = OPT_NULLABLE, .doc = t \
    }
#define END          \
    {                \
        .name = NULL \
    }

static const struct opt sparsegpt_table[] = {
    REAL("sparsity", sparsity, 0.5, 0, 1, "Share of weights that become zero."),
    STR("mask_structure", mask_structure, "0:0", "N:M, or 0:0 for none."),
    STR("sparsity_profile", update_scheduler, NULL, "owl, or none."),
    REAL("owl_m", owl_m, 0, 0, 1e6, "Outlier threshold of OWL."),
    REAL("owl_lmbda", owl_lmbda, 0, 0, 1e6, "Spread of OWL."),
    INT("block_size", block_size, 128, 1, 1 << 20, "columns", "Columns of one pass."),
    REAL("dampening_frac", dampening_frac, 0.01, 1e-9, 1, "Added to the Hessian's diagonal, of its mean."),
    BOOL("preserve_sparsity_mask", preserve_sparsity_mask, 0, "Keep zeros that are there."),
    BOOL("offload_hessians", offload_hessians, 0, "A matter of GPU memory in llm-compressor."),
    NODE("targets", targets, "Modules."),
    NODE("ignore", ignore, "Modules that are left out."),
    END,
};
static const struct opt wanda_table[] = {
    REAL("sparsity", sparsity, 0.5, 0, 1, "Share of weights that become zero."),
    STR("mask_structure", mask_structure, "0:0", "N:M, or 0:0 for none."),
    STR("sparsity_profile", update_scheduler, NULL, "owl, or none."),
    REAL("owl_m", owl_m, 0, 0, 1e6, "Outlier threshold of OWL."),
    REAL("owl_lmbda", owl_lmbda, 0, 0, 1e6, "Spread of OWL."),
    NODE("targets", targets, "Modules."),
    NODE("ignore", ignore, "Modules that are left out."),
    END,
};
static const struct opt magnitude_table[] = {
    NODE("targets", targets, "Modules."),
    REAL("init_sparsity", init_sparsity, 0, 0, 1, "Share of zeros at the start."),
    REAL("final_sparsity", final_sparsity, 0.5, 0, 1, "Share of zeros at the end."),
    STR("update_scheduler", update_scheduler, "cubic", "How the share grows."),
    NODE("scheduler_args", scheduler_args, "Its arguments."),
    STR("mask_structure", mask_structure, "unstructured", "N:M, or unstructured."),
    BOOL("leave_enabled", leave_enabled, 0, "Keep masks after the end."),
    BOOL("apply_globally", apply_globally, 0, "One threshold for all modules."),
    END,
};
static const struct opt constant_table[] = { NODE("targets", targets, "Modules."), END };
static const struct opt reap_table[] = {
    REAL("sparsity", sparsity, 0.5, 0, 1, "Share of experts that are dropped."),
    NODE("ignore", ignore, "Modules that are left out."),
    STR("report_path", report_path, NULL, "Where llm-compressor writes a report."),
    END,
};
#define TRANSFORM_ROWS                                                                                   \
    { .name = "rotations", .type = OPT_STRS, .at = AT(rotations), .doc = "Which rotations." },           \
        { .name = "transform_type",                                                                      \
          .type = OPT_ENUM,                                                                              \
          .at = AT(transform_type),                                                                      \
          .words = transforms,                                                                           \
          .doc = "Kind of matrix." },                                                                    \
        BOOL("randomize", randomize, 0, "Random signs."),                                                \
        BOOL("learnable", learnable, 0, "Trained rotations."),                                           \
        STR("precision", precision, NULL, "dtype of the rotation."),                                     \
    {                                                                                                    \
        .name = "transform_block_size", .type = OPT_INT, .at = AT(transform_block_size), .max = 1 << 20, \
        .flags = OPT_NULLABLE, .doc = "Size of a block-diagonal rotation."                               \
    }
static const struct opt spin_table[] = {
    TRANSFORM_ROWS,
    NODE("mappings", mappings, "Layers that are rotated; by architecture when left out."),
    NODE("norm_mappings", norm_mappings, "Norms that are folded; by architecture when left out."),
    END,
};
static const struct opt quip_table[] = { TRANSFORM_ROWS, NODE("targets", targets, "Modules."),
                                         NODE("ignore", ignore, "Modules that are left out."), END };
static const struct opt autoround_table[] = {
    INT("iters", iters, 200, 0, 1000000, "steps", "Steps of sign descent a block."),
    INT("batch_size", batch_size, 8, 1, 1 << 20, "sequences", "Sequences a step."),
    { .name = "lr",
      .type = OPT_REAL,
      .at = AT(lr),
      .max = 1e6,
      .flags = OPT_NULLABLE,
      .doc = "Step size; 1/iters when left out." },
    BOOL("enable_torch_compile", compile, 1, "A matter of torch."),
    STR("device_ids", device_ids, NULL, "GPUs."),
    BOOL("disable_opt_rtn", disable_opt_rtn, 0, "Plain rounding where it does not train."),
    END,
};
static const struct opt imatrix_table[] = { NODE("ignore", ignore, "Modules that are left out."), END };

int specs_check(const struct stage_spec *spec, const void *options, const struct node *map, struct src_pos at,
                struct err *e)
{
    const struct awq_options *o = options;
    const struct gptq_options *g = options;
    const struct node *n = node_get(map, spec == &spec_gptq ? "batched_quantization" : "n_grid");
    int64_t count = 0;
    if (spec == &spec_gptq && g->batched_quantization && strcmp(g->batched_quantization, "auto") != 0 &&
        (!num_int(g->batched_quantization, &count) || count < 1))
        return err_at(e, ERR_INPUT, n ? n->at : at,
                      "batched_quantization: found '%.40s', expected auto, null or an integer above 0",
                      g->batched_quantization);
    if (spec == &spec_awq && o->duo_scaling && o->n_grid < 3)
        return err_at(e, ERR_INPUT, n ? n->at : at,
                      "n_grid: found %lld with duo_scaling, expected an integer in [3, 10000] points",
                      (long long)o->n_grid);
    if (spec == &spec_awq && !o->clip && (o->clip_grid != 20 || o->clip_shrink < 0.5 || o->clip_shrink > 0.5))
        return err_at(e, ERR_INPUT, at, "clip_grid and clip_shrink mean nothing without clip: true");
    return 0;
}

#define SPEC(id, n, d, t, g, q, data, smooth)                                                            \
    const struct stage_spec id = { n, "",      STAGE_MODIFIER, d,     t, g, sizeof(struct peer_options), \
                                   q, UNBUILT, data,           smooth }
SPEC(spec_sparsegpt, "SparseGPTModifier", "One-shot pruning with the Hessian (arXiv:2301.00774).",
     sparsegpt_table, NULL, false, true, false);
SPEC(spec_wanda, "WandaPruningModifier", "Pruning by weight times activation norm (arXiv:2306.11695).",
     wanda_table, NULL, false, true, false);
SPEC(spec_magnitude, "MagnitudePruningModifier", "Pruning by magnitude.", magnitude_table, NULL, false, false,
     false);
SPEC(spec_constant, "ConstantPruningModifier", "Keeps zeros that are there.", constant_table, NULL, false,
     false, false);
SPEC(spec_reap, "REAPPruningModifier", "Drops experts by router-weighted saliency.", reap_table, NULL, false,
     true, false);
SPEC(spec_spinquant, "SpinQuantModifier", "Rotations folded into weights (arXiv:2405.16406).", spin_table,
     NULL, false, false, true);
SPEC(spec_quip, "QuIPModifier", "Incoherence rotations a Linear (arXiv:2307.13304).", quip_table, NULL, false,
     false, true);
SPEC(spec_autoround, "AutoRoundModifier", "Rounding trained by sign descent (arXiv:2309.05516).",
     autoround_table, NULL, true, true, false);
SPEC(spec_imatrix, "IMatrixGatherer", "Gathers E[x^2] for imatrix_mse (llm-compressor 0.11 and 0.12).",
     imatrix_table, NULL, false, true, false);

#undef S
#define S base_fields
const struct opt base_options[] = {
    STR("group", group, NULL, "Name of the modifier's group."),
    { .name = "index",
      .type = OPT_INT,
      .at = AT(index),
      .min = -1e9,
      .max = 1e9,
      .flags = OPT_NULLABLE,
      .doc = "Place in the peer's recipe." },
    { .name = "start",
      .type = OPT_REAL,
      .at = AT(start),
      .def = -1,
      .min = -1e9,
      .max = 1e9,
      .null_value = -1,
      .flags = OPT_NULLABLE | OPT_PEER_ONLY,
      .doc = "Epoch of training." },
    { .name = "end",
      .type = OPT_REAL,
      .at = AT(end),
      .def = -1,
      .min = -1e9,
      .max = 1e9,
      .null_value = -1,
      .flags = OPT_NULLABLE | OPT_PEER_ONLY,
      .doc = "Epoch of training." },
    { .name = "update",
      .type = OPT_REAL,
      .at = AT(update),
      .def = -1,
      .min = -1e9,
      .max = 1e9,
      .null_value = -1,
      .flags = OPT_NULLABLE | OPT_PEER_ONLY,
      .doc = "Interval of training." },
    { .name = "requires_calibration_data",
      .type = OPT_BOOL,
      .at = AT(requires_calibration_data),
      .def = 1,
      .doc = "Follows from the modifier." },
    END,
};
