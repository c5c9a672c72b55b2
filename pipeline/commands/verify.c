/* verify.c - `qpipe verify`: an output held against its manifest. */
#include "pipeline/commands/rows.h"

#include "base/log.h"
#include "pipeline/manifest.h"

static const struct opt options[] = {
    { .name = "model",
      .type = OPT_STR,
      .at = CLI_AT(model),
      .doc =
          "Folder of the source checkpoint: its files and tensors are checked, and weight errors measured again." },
    { .name = "dataset",
      .type = OPT_STR,
      .at = CLI_AT(dataset),
      .doc = "The held-out text: the model's numbers are measured again, too (needs --model)." },
    CLI_JSON,
    { .name = NULL },
};

static int report(const struct cli *c, const struct recheck *r, struct buf *out, struct err *e)
{
    if (!c->json) {
        for (size_t i = 0; i < r->wrong.n; i++)
            if (buf_printf(out, e, "%s\n", r->wrong.v[i]))
                return -1;
        return buf_printf(
            out, e, "%s: %lld files, %lld tensors, %lld input files, %lld numbers checked: %s\n",
            c->word.v[0], (long long)r->files, (long long)r->tensors, (long long)r->inputs,
            (long long)r->numbers, r->wrong.n ? "NOT as the manifest says" : "as the manifest says");
    }
    struct jw w;
    jw_init(&w, out, 2);
    jw_object(&w);
    jw_kbool(&w, "passed", !r->wrong.n);
    jw_kint(&w, "files", r->files);
    jw_kint(&w, "tensors", r->tensors);
    jw_kint(&w, "input_files", r->inputs);
    jw_kint(&w, "numbers", r->numbers);
    jw_key(&w, "wrong");
    jw_array(&w);
    for (size_t i = 0; i < r->wrong.n; i++)
        jw_str(&w, r->wrong.v[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    return jw_done(&w, e);
}

static int run(struct cli *c, struct err *e)
{
    struct recheck r;
    struct buf out = { 0 };
    if (c->dataset && !c->model)
        return err_set(e, ERR_INPUT, "--dataset needs --model: numbers are measured against the original");
    if (recheck_dir(c->word.v[0], c->model, c->dataset, &r, e))
        return -1;
    int rc = report(c, &r, &out, e);
    if (!rc)
        rc = print_text(&out, e);
    int status = r.wrong.n ? ERR_CHECK : ERR_OK;
    buf_release(&out);
    recheck_release(&r);
    return rc ? -1 : status;
}

static const char *const details[] = {
    "Reads DIR/manifest.json and compares the SHA-256 of every file and tensor, and the resolved recipe, with what stands on disk; with --model also the "
    "inputs and the weight errors; with --dataset also every number of the verification, which are computed again. Exit status 1 and a line for each "
    "difference when something is not as recorded.",
    NULL,
};
const struct command command_verify = { "verify", "DIR", "Recheck an output against its manifest.",
                                        options,  1,     1,
                                        details,  run,   true };
