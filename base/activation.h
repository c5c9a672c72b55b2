/* activation.h - how a runtime rounds one input of a module, or the keys or values of one layer: the arguments, and what a
 * checkpoint stores for them. Dynamic quantizers store nothing: their scales come from the values themselves.
 *
 *   strategy       dynamic   scales come from                        stored
 *   token, tensor  true      a row; all rows of the sequence         -
 *   group          true      a group of a row                        -
 *   tensor_group   local     a group of a row, in E4M3               global (a divisor)
 *   tensor         false     calibration                             scale [1], zero [1]
 *   attn_head      false     calibration                             scale [heads], zero [heads] (keys and values only) */
#ifndef QP_BASE_ACTIVATION_H
#define QP_BASE_ACTIVATION_H
#include "base/scheme.h"
#include "base/tensor.h"

/* How a measurement treats them: as the runtime would, or as if there were none. */
enum simulate { ACTIVATIONS_SIMULATE, ACTIVATIONS_FLOAT };
extern const char *const simulate_words[]; /* "simulate", "float", NULL */

struct activation {
    bool on; /* false: floats, and the rest means nothing */
    struct quant_args args;
    int64_t n;    /* scales: 0 (dynamic), 1, or heads */
    float *scale; /* [n] */
    int8_t *zero; /* [n]; NULL: symmetric */
    float global; /* tensor_group: local scales are divided by it; else 0 */
};
/* activation_init - on, with room for n zeroed scales (and zero points where args are asymmetric). */
int activation_init(struct activation *a, const struct quant_args *args, int64_t n, struct err *e);
void activation_release(struct activation *a);
bool activation_is_static(const struct quant_args *a); /* calibration has to find something for it */

enum activation_role { ACTIVATION_INPUT, ACTIVATION_KV };
/* activation_check - 0 when quantizers of these args can be computed on `width` columns (heads * head_dim for keys and
 * values). ERR_INPUT: they mean nothing; ERR_UNBUILT. */
int activation_check(const struct quant_args *a, enum activation_role role, int64_t width, struct err *e);
/* activation_word - "8-bit int symmetric token, dynamic"; out has room for 128. */
const char *activation_word(const struct quant_args *a, char *out);
/* activation_range - least and greatest code of integers, or of the number format: +-448, +-6. */
void activation_range(const struct quant_args *a, float *least, float *most);
/* activation_params - the scale and zero point of a static quantizer that saw values from min to max, in the arithmetic of
 * dtype t (F32, BF16, F16), as compressed-tensors' calculate_qparams. zero: NULL when symmetric. */
void activation_params(const struct quant_args *a, enum dtype t, float min, float max, float *scale,
                       int8_t *zero);

/* What a whole model rounds. */
struct activations {
    struct activation *module; /* [n_modules], as in the model */
    int64_t n_modules;
    struct activation *key, *value; /* [n_blocks] */
    int64_t n_blocks;
};
int activations_init(struct activations *a, int64_t n_modules, int64_t n_blocks, struct err *e);
void activations_release(struct activations *a);
#endif
