/* commands.c - the commands table. */
#include "pipeline/commands/rows.h"

#include <stddef.h>

const struct command *const commands[] = {
    &command_run,      &command_plan,    &command_inspect, &command_verify,
    &command_diff,     &command_rebuild, &command_attest,  &command_eval,
    &command_tokenize, &command_list,    &command_schema,  &command_help,
    &command_version,  &command_submit,  &command_status,  NULL,
};
