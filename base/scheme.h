/* scheme.h - what a recipe asks of a module's numbers, in compressed-tensors' words (QuantizationArgs,
 * QuantizationScheme), and the preset schemes by name. Source: compressed-tensors 0.19.0 quantization/quant_args.py,
 * quant_scheme.py as recorded in the project's format notes. */
#ifndef QP_BASE_SCHEME_H
#define QP_BASE_SCHEME_H
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

enum quant_type { QUANT_INT, QUANT_FLOAT };
enum strategy {
    STRATEGY_TENSOR,
    STRATEGY_CHANNEL,
    STRATEGY_GROUP,
    STRATEGY_BLOCK,
    STRATEGY_TOKEN,
    STRATEGY_TENSOR_GROUP,
    STRATEGY_ATTN_HEAD
};
enum actorder {
    ACTORDER_NONE,
    ACTORDER_WEIGHT,
    ACTORDER_STATIC
}; /* weight and static are two words for one thing */
enum dynamic { DYNAMIC_FALSE, DYNAMIC_TRUE, DYNAMIC_LOCAL };
extern const char *const strategy_words[], *const quant_type_words[], *const actorder_words[];

struct quant_args {
    int num_bits; /* 1..8 */
    enum quant_type type;
    bool symmetric;
    enum strategy strategy; /* resolved, never "null" */
    int64_t group_size;     /* > 0: group, tensor_group; -1: channel; 0: null */
    int64_t block[2];       /* rows, cols of strategy block, else 0, 0 */
    enum dynamic dynamic;
    enum actorder actorder;
    bool actorder_given; /* the recipe said so here (null included) */
    int scale_dtype;     /* enum dtype, or -1: null */
    int zp_dtype;        /* enum dtype, or -1: null */
    char observer[32];   /* "" = null */
    double obs_maxshrink, obs_patience, obs_grid, obs_norm, obs_averaging,
        obs_expand; /* observer_kwargs; NAN = not given */
};
void quant_args_default(struct quant_args *a);

struct quant_scheme {
    char preset[24]; /* name of the preset it came from, or "" */
    bool has_weights, has_input, has_output;
    struct quant_args weights, input, output;
    char format[32]; /* "" = null */
};

/* The preset schemes, name and values; ends with name == NULL. */
struct preset {
    const char *name;
    struct quant_scheme scheme;
};
extern const struct preset presets[];
const struct preset *preset_find(const char *name); /* case is ignored; NULL: unknown */

/* quant_args_json - all keys sorted, nulls too, as compressed-tensors writes them into config.json. */
void quant_args_json(const struct quant_args *a, struct jw *w);
/* quant_args_word - "W4 int symmetric group 128": for plans and errors; out has room for 96. */
const char *quant_args_word(const struct quant_args *a, char *out);
#endif
