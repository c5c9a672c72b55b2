/* rebuild.c - `qpipe rebuild`: an output made again from its manifest. */
#include "pipeline/commands/rows.h"

#include "pipeline/rebuild.h"

static const struct opt options[] = {
    { .name = "model",
      .type = OPT_STR,
      .at = CLI_AT(model),
      .doc = "Folder of the source checkpoint, whose digests must be those of the manifest." },
    { .name = "dataset",
      .type = OPT_STR,
      .at = CLI_AT(dataset),
      .doc = "The calibration text, where the recipe needs one." },
    { .name = "heldout",
      .type = OPT_STR,
      .at = CLI_AT(text),
      .doc = "The held-out text: the verification is made again, too." },
    { .name = "sample",
      .type = OPT_INT,
      .at = CLI_AT(samples),
      .max = 1000000,
      .doc = "Make only so many modules again, drawn by the manifest's digest; 0: everything." },
    { .name = "output",
      .type = OPT_STR,
      .at = CLI_AT(output),
      .doc = "Folder to write and keep; else a temporary one in $TMPDIR, or /tmp." },
    CLI_JSON,
    { .name = NULL },
};

static int run(struct cli *c, struct err *e)
{
    struct rebuild_options o = { .manifest = c->word.v[0],
                                 .model = c->model,
                                 .dataset = c->dataset,
                                 .heldout = c->text,
                                 .output = c->output,
                                 .sample = c->samples };
    struct rebuild r;
    struct buf out = { 0 };
    int rc;
    if (!o.model)
        return err_set(e, ERR_INPUT,
                       "qpipe rebuild needs --model: the checkpoint that the output was made from");
    if (o.sample && (o.output || o.heldout))
        return err_set(e, ERR_INPUT, "--sample compares modules alone: --%s goes with a whole rebuild",
                       o.output ? "output" : "heldout");
    if (rebuild_run(&o, &r, e))
        return -1;
    if (c->json) {
        struct jw w;
        jw_init(&w, &out, 2);
        rebuild_json(&r, &w);
        rc = jw_done(&w, e);
    } else
        rc = rebuild_text(&r, &o, &out, e);
    if (!rc)
        rc = print_text(&out, e);
    int status = rebuild_equal(&r) ? ERR_OK : ERR_CHECK;
    buf_release(&out);
    rebuild_release(&r);
    return rc ? -1 : status;
}

static const char *const details[] = {
    "Takes the inputs that manifest.json records (an input with another digest is refused by name), the resolved recipe beside it, and makes the output "
    "again in a temporary folder; then every tensor and file is compared by digest. MANIFEST is the file or its folder.",
    "--sample K makes K modules again, drawn by Philox from the manifest's digest, so that anyone draws the same: without calibration only their tensors "
    "are read; with it the walk ends behind the last of them. Exit status 0: equal; 1: something differs, named line by line.",
    NULL,
};
const struct command command_rebuild = {
    "rebuild", "MANIFEST", "Make an output again from its manifest, and compare.", options, 1, 1, details,
    run,       false
};
