/* tokenize.c - `qpipe tokenize`: ids of each line or record, as the tokenizer of a checkpoint gives them. */
#include "pipeline/commands/rows.h"

#include "base/file.h"
#include "text/dataset.h"

static const struct opt options[] = {
    { .name = "field",
      .type = OPT_STR,
      .at = CLI_AT(field),
      .doc = "JSON key of the text.",
      .def_str = "text" },
    { .name = "whole",
      .type = OPT_BOOL,
      .at = CLI_AT(whole),
      .doc = "The ids of the whole file as one line." },
    { .name = "no-special",
      .type = OPT_BOOL,
      .at = CLI_AT(no_special),
      .doc = "Without the special tokens that the post-processor adds." },
    { .name = NULL },
};

struct task {
    struct tokenizer *t;
    bool special;
    struct ids ids;
    struct buf line;
};

static int one(void *arg, const char *p, size_t n, struct err *e)
{
    struct task *k = arg;
    k->ids.n = 0;
    k->line.len = 0;
    if (tokenizer_encode(k->t, p, n, k->special, &k->ids, e) || buf_str(&k->line, "[", e))
        return -1;
    for (size_t i = 0; i < k->ids.n; i++)
        if (buf_printf(&k->line, e, "%s%d", i ? ", " : "", k->ids.v[i]))
            return -1;
    return buf_str(&k->line, "]\n", e) ? -1 : print_text(&k->line, e);
}

static int whole(struct task *k, const char *path, struct err *e)
{
    struct mapped m = { 0 };
    int rc = file_map(path, &m, e);
    if (!rc)
        rc = one(k, (const char *)m.p, (size_t)m.n, e);
    file_unmap(&m);
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    struct task k = { .t = tokenizer_open(c->word.v[0], e), .special = !c->no_special };
    if (!k.t)
        return -1;
    int rc = c->whole ? whole(&k, c->word.v[1], e) : dataset_records(c->word.v[1], c->field, one, &k, e);
    tokenizer_free(k.t);
    ids_release(&k.ids);
    buf_release(&k.line);
    return rc;
}

static const char *const details[] = {
    "Prints a JSON list of token ids for each line of a text file, each record of a JSON or JSON lines file, or with --whole the file as one text.",
    NULL,
};
const struct command command_tokenize = {
    "tokenize", "MODEL FILE", "Print token ids of a text.", options, 2, 2, details, run, false
};
