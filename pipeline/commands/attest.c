/* attest.c - `qpipe attest`: statements about an output that exists. */
#include "pipeline/commands/rows.h"

#include "pipeline/statement.h"

static const struct opt options[] = { CLI_STATEMENTS, CLI_JSON, { .name = NULL } };

static int run(struct cli *c, struct err *e)
{
    struct strs files = { 0 };
    struct buf out = { 0 };
    if (!c->statement.n && !c->bom.n) {
        err_set(e, ERR_INPUT, "qpipe attest: found no statement that is wanted");
        return err_hint(
            e, "give --statement oms, slsa or test-result, or --bom cyclonedx; each may be given again");
    }
    int rc = statements_write(c->word.v[0], &c->statement, &c->bom, &files, e);
    struct jw w;
    jw_init(&w, &out, 2);
    if (!rc && c->json) {
        jw_array(&w);
        for (size_t i = 0; i < files.n; i++)
            jw_str(&w, files.v[i]);
        jw_end_array(&w);
        rc = jw_done(&w, e);
    }
    for (size_t i = 0; !rc && !c->json && i < files.n; i++)
        rc = buf_printf(&out, e, "%s\n", files.v[i]);
    if (!rc)
        rc = print_text(&out, e);
    buf_release(&out);
    strs_release(&files);
    return rc ? -1 : ERR_OK;
}

static const char *const details[] = {
    "Writes statements about an output as files beside it, DIR.slsa.json and so on, from its manifest: in-toto statements of OpenSSF model "
    "signing (oms), SLSA provenance (slsa) and test results (test-result), and a CycloneDX bill of materials. The folder is held against its manifest "
    "first. The same output gives the same files; signing them is for other tools (docs/statements.md).",
    NULL,
};
const struct command command_attest = { "attest", "DIR", "Write statements about an output for other tools.",
                                        options,  1,     1,
                                        details,  run,   false };
