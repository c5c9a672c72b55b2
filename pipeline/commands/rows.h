/* rows.h - inside pipeline/commands: a file each. */
#ifndef QP_PIPELINE_COMMANDS_ROWS_H
#define QP_PIPELINE_COMMANDS_ROWS_H
#include "pipeline/cli.h"

extern const struct command command_diff, command_rebuild;
extern const struct command command_run, command_plan, command_inspect, command_verify, command_eval,
    command_tokenize, command_list, command_schema, command_help, command_version;
extern const struct command command_submit, command_status;

/* Exit statuses with their meaning, for help and `qpipe list`; ends with text == NULL. */
struct exit_status {
    int code;
    const char *text;
};
extern const struct exit_status exit_statuses[];
/* The tables of the program, for `list`: one row at a time. */
struct listed {
    const char *table, *name, *doc;
    bool built;
};
int list_each(int (*f)(void *arg, const struct listed *row, struct err *e), void *arg, struct err *e);
/* help_man, help_completion - generated from the tables. */
int help_man(struct buf *out, struct err *e);
int help_completion(const char *shell, struct buf *out, struct err *e);
int help_options(const struct command *cmd, struct buf *out, struct err *e);
#endif
