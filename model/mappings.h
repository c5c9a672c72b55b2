/* mappings.h - where a scale per channel can move between a module and those that read its output without changing the
 * function: smooth module -> balance modules. Found from the steps of a family's row, so that every built family has its
 * own and none that is not an identity.
 *
 *   norm -> all matrices that read it         (none where anything else reads it, or where it has no weight)
 *   v -> o                                    (attention is linear in the values; none where values are clamped)
 *   up -> down of a gated MLP                 (the activation sees the gate alone)
 *   fc1 -> down with relu (relu2: the root)   (positive scales pass through; none with gelu, silu)
 *
 * With scales s > 0 per channel: balance W[:, c] *= s, smooth w and b /= s^power on the rows of that channel; a norm that
 * stores its weight minus `offset`: w' = (w + offset) / s - offset. */
#ifndef QP_MODEL_MAPPINGS_H
#define QP_MODEL_MAPPINGS_H
#include "model/model.h"

enum mapping_kind { MAPPING_NORM, MAPPING_VALUE, MAPPING_UP, MAPPING_RELU };
enum { MAPPING_BALANCE = 8 };
struct mapping {
    enum mapping_kind kind;
    int block;
    const struct module *smooth, *balance[MAPPING_BALANCE];
    int n;
    int64_t channels; /* scales */
    /* Column c of a balance matrix is channel (c / width / repeat) * width + c % width: with grouped queries `repeat` heads
     * read one head of values. */
    int64_t width, repeat;
    /* Channel h * width + i is row first + h * stride + i of the smooth module. */
    int64_t first, stride;
    float offset;
    bool root; /* the smooth module is divided by the root of the scales */
};
/* mappings_of - the mappings of one block in forward order, at most MAPPINGS_MAX. Returns how many. */
enum { MAPPINGS_MAX = 8 };
int mappings_of(const struct model *m, int64_t block, struct mapping out[MAPPINGS_MAX]);
int64_t mapping_channel(const struct mapping *p, int64_t col);
int64_t mapping_row(const struct mapping *p, int64_t channel);
extern const char *const mapping_words[]; /* by enum mapping_kind: "norm", "value", "up", "relu" */
#endif
