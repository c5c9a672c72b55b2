/* diff.c - `qpipe diff`: what makes two outputs differ. */
#include "pipeline/commands/rows.h"

#include "pipeline/diff.h"

static const struct opt options[] = { CLI_JSON, { .name = NULL } };

static int run(struct cli *c, struct err *e)
{
    struct diff d;
    struct buf out = { 0 };
    const char *a = c->word.v[0], *b = c->word.v[1];
    int rc;
    if (diff_outputs(a, b, &d, e))
        return -1;
    if (c->json) {
        struct jw w;
        jw_init(&w, &out, 2);
        diff_json(&d, &w);
        rc = jw_done(&w, e);
    } else
        rc = diff_text(&d, a, b, &out, e);
    if (!rc)
        rc = print_text(&out, e);
    int status = diff_equal(&d) ? ERR_OK : ERR_CHECK;
    buf_release(&out);
    diff_release(&d);
    return rc ? -1 : status;
}

static const char *const details[] = {
    "Compares two outputs and prints the first difference of each kind, causes first: version, recipe, input (from the manifests), plan (what "
    "was decided of a module), tensor (module, row, column and both values of a code, scale or zero point, decoded by the container), file, numbers. "
    "Bytes are always compared: a file that is not what its manifest says is named.",
    "Folders without a manifest are compared by tensors and files alone. Exit status 0: equal; 1: different.",
    NULL,
};
const struct command command_diff = { "diff",  "A B", "Explain the first difference between two outputs.",
                                      options, 2,     2,
                                      details, run,   false };
