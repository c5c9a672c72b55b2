/* cli.h - the commands table and what a command line may say. One struct holds every option; a command's row lists those
 * that it takes. Help, man page and shell completion come from these rows. */
#ifndef QP_PIPELINE_CLI_H
#define QP_PIPELINE_CLI_H
#include "base/opt.h"
#include "recipes/recipe.h"

/* What `qpipe submit` asks of a scheduler. */
struct cli_batch {
    int scheduler, launcher; /* index into batch_words; enum launcher */
    int64_t nodes, ranks, memory, parallel;
    char *time, *warn, *chain, *partition, *account, *parallel_env, *name;
    double rate, margin;
    struct strs line, setup, variants;
    bool dry_run, requeue;
};
struct cli {
    /* recipes */
    char *model, *dataset, *output, *seed, *variant;
    struct strs set;
    bool allow_unmatched, force;
    /* text */
    char *text, *tokens, *field, *logits_out, *reference;
    int64_t samples, sequence_length;
    bool whole, no_special;
    /* statements */
    struct strs statement, bom;
    /* all */
    bool json, man;
    int resume;                /* enum resume */
    int log_format, log_level; /* enum log_format, enum log_level */
    int64_t threads;
    char *kernels, *completion, *cache_budget;
    int64_t activation_budget;
    int activations; /* enum simulate */
    struct cli_batch batch;
    double network;      /* Gbit/s between two ranks */
    int64_t rank_memory; /* bytes that a rank may use; 0: not said */
    bool watch;
    int64_t interval; /* seconds between two looks */
    /* words that are no options */
    struct strs word;
};
struct command {
    const char *name, *words, *doc; /* words: "RECIPE", "MODEL", "[TOPIC]" */
    const struct opt *options;
    int min_words, max_words;
    const char *const *details;               /* paragraphs for help and man page, ends with NULL */
    int (*run)(struct cli *c, struct err *e); /* the exit status, or -1 with e set */
    bool ranks;                               /* several ranks may run it together (cluster/comm.h) */
};
extern const struct command *const commands[]; /* ends with NULL */
extern const struct opt common_options[];      /* taken by every command */
const struct command *command_find(const char *name);
/* cli_parse - argv behind the command's name. -- ends options. */
int cli_parse(const struct command *cmd, int argc, char **argv, struct cli *out, struct err *e);
void cli_release(const struct command *cmd, struct cli *c);
/* cli_recipe - reads the recipe named by word 0 with the command line's --model, --dataset, --output, --set. */
int cli_recipe(const struct cli *c, struct recipe *out, struct err *e);
/* print_json - runs f on a writer and prints the text to stdout. */
int print_text(const struct buf *b, struct err *e);

/* Rows that several commands share. */
#define CLI_AT(f) offsetof(struct cli, f)
#define CLI_JSON                                                                                  \
    {                                                                                             \
        .name = "json", .type = OPT_BOOL, .at = CLI_AT(json), .doc = "Results as JSON on stdout." \
    }
#define CLI_VARIANT                                                                 \
    {                                                                               \
        .name = "variant", .type = OPT_STR, .at = CLI_AT(variant),                  \
        .doc = "Name of one of the recipe's `variants`; its values beat the vars'." \
    }
#define CLI_STATEMENTS                                                                                             \
    {                                                                                                              \
        .name = "statement",                                                                                       \
        .type = OPT_STRS,                                                                                          \
        .at = CLI_AT(statement),                                                                                   \
        .doc =                                                                                                     \
            "Writes OUTPUT.oms.json, .slsa.json or .test-result.json: oms, slsa, test-result; may be given again." \
    },                                                                                                             \
    {                                                                                                              \
        .name = "bom", .type = OPT_STRS, .at = CLI_AT(bom),                                                        \
        .doc = "Writes OUTPUT.cyclonedx.json: cyclonedx."                                                          \
    }
#define CLI_RECIPE_ROWS                                                                 \
    { .name = "model",                                                                  \
      .type = OPT_STR,                                                                  \
      .at = CLI_AT(model),                                                              \
      .doc = "Folder of the source checkpoint; beats the recipe's `model`." },          \
        { .name = "dataset",                                                            \
          .type = OPT_STR,                                                              \
          .at = CLI_AT(dataset),                                                        \
          .doc = "Calibration text; beats the recipe's." },                             \
        { .name = "output",                                                             \
          .type = OPT_STR,                                                              \
          .at = CLI_AT(output),                                                         \
          .doc = "Folder to write; beats the recipe's `output`." },                     \
        { .name = "seed",                                                               \
          .type = OPT_STR,                                                              \
          .at = CLI_AT(seed),                                                           \
          .doc = "Seed of every random choice; beats the recipe's." },                  \
        { .name = "set",                                                                \
          .type = OPT_STRS,                                                             \
          .at = CLI_AT(set),                                                            \
          .doc = "NAME=VALUE for a name of the recipe's `vars`; may be given again." }, \
    {                                                                                   \
        .name = "allow-unmatched", .type = OPT_BOOL, .at = CLI_AT(allow_unmatched),     \
        .doc = "Targets and ignore entries may match nothing."                          \
    }
#endif
