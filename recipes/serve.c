/* serve.c - the recipe's `serve:` key: what a runtime will do with the checkpoint, for checks at plan time. It changes no
 * byte of the weights. */
#include "recipes/build.h"

#include <stddef.h>

const char *const serve_fused_words[] = { "joined", "noted", "separate", NULL };
#define S serve_options
const struct opt serve_table[] = {
    { .name = "tensor_parallel",
      .type = OPT_INT,
      .at = offsetof(struct S, tensor_parallel),
      .def = 1,
      .min = 1,
      .max = 4096,
      .unit = "devices",
      .doc = "So many devices share every matrix; each part must hold whole groups, blocks and words." },
    { .name = "fused",
      .type = OPT_ENUM,
      .at = offsetof(struct S, fused),
      .def = SERVE_JOINED,
      .words = serve_fused_words,
      .doc =
          "Whether what a runtime joins (q, k, v; gate, up; a layer's experts) must have one scheme, as vLLM "
          "asks: joined: yes; noted: a line in the plan; separate: no." },
    { .name = NULL },
};
#undef S

int serve_read(const struct node *n, struct serve_options *out, struct err *e)
{
    if (opt_defaults(serve_table, out, e))
        return -1;
    if (node_is_null(n))
        return 0;
    out->at = n->at;
    if (n->kind != NODE_MAP)
        return err_at(e, ERR_INPUT, n->at, "serve: found %s, expected a mapping of options", node_what(n));
    return opt_assign_map(serve_table, NULL, out, n, "serve", NULL, NULL, e);
}
