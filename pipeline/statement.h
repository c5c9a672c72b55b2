/* statement.h - what others' tools read about an output, written from its manifest: in-toto statements and a bill of materials
 * (docs/statements.md). A function of manifest.json, config.json and the folder's name; no time, no host. */
#ifndef QP_PIPELINE_STATEMENT_H
#define QP_PIPELINE_STATEMENT_H
#include "base/hash.h"
#include "base/json.h"

struct attested {
    const char *name; /* of the output: the last part of its path */
    char manifest_sha256[HASH_HEX];
    const struct json *manifest, *predicate, *config;
};
struct statement {
    const char *name, *tail, *doc; /* "slsa", "slsa.json" */
    bool bom;                      /* --bom; else --statement */
    int (*write)(const struct attested *a, struct jw *w, struct err *e);
};
extern const struct statement statements[]; /* ends with name == NULL */
/* statements_check - ERR_INPUT: a word that is no statement, or no bill of materials. */
int statements_check(const struct strs *wanted, const struct strs *boms, struct err *e);
/* statements_write - of the output in dir, as files beside it: DIR.slsa.json. files: their paths are added. ERR_INPUT: dir is not what
 * its manifest says, or the manifest lacks what a statement is about. */
int statements_write(const char *dir, const struct strs *wanted, const struct strs *boms, struct strs *files,
                     struct err *e);
/* One file each. */
int write_oms(const struct attested *a, struct jw *w, struct err *e);
int write_slsa(const struct attested *a, struct jw *w, struct err *e);
int write_test_result(const struct attested *a, struct jw *w, struct err *e);
int write_cyclonedx(const struct attested *a, struct jw *w, struct err *e);
/* attested_files - f for manifest.json and every file that it lists, sorted by name. */
int attested_files(const struct attested *a,
                   int (*f)(void *arg, const char *name, const char *sha256, struct err *e), void *arg,
                   struct err *e);
#endif
