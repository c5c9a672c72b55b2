/* help.c - `qpipe help`: the program, a command, a stage or modifier, exit statuses; the man page; shell completion. All
 * of it from the tables. */
#include "pipeline/commands/rows.h"

#include "base/version.h"

#include <string.h>

static const char *const shells[] = { "bash", "zsh", "fish", NULL };

static const struct opt options[] = {
    { .name = "man", .type = OPT_BOOL, .at = CLI_AT(man), .doc = "Print the man page (roff)." },
    { .name = "completion",
      .type = OPT_STR,
      .at = CLI_AT(completion),
      .doc = "Print a completion script for bash, zsh or fish." },
    { .name = NULL },
};

static int overview(struct buf *out, struct err *e)
{
    int rc = buf_str(
        out,
        "qpipe compresses checkpoints of language models as a recipe says.\n\nusage: qpipe COMMAND ...\n\ncommands\n",
        e);
    for (const struct command *const *c = commands; !rc && *c; c++)
        rc = buf_printf(out, e, "  %-10s %-12s %s\n", (*c)->name, (*c)->words, (*c)->doc);
    rc = rc || buf_str(out, "\noptions of every command\n", e) || opt_help(common_options, out, e);
    rc = rc ||
         buf_str(out, "\nqpipe help COMMAND, qpipe help MODIFIER and qpipe help exit-status say more.\n", e);
    return rc ? -1 : 0;
}

int help_options(const struct command *cmd, struct buf *out, struct err *e)
{
    for (const struct opt *o = cmd->options; o->name; o++) {
        const char *value = o->type == OPT_BOOL ? "" : opt_type_name(o->type);
        if (buf_printf(out, e, "  --%-20s %-10s %s\n", o->name, value, o->doc))
            return -1;
    }
    return 0;
}

static int command_help_text(const struct command *c, struct buf *out, struct err *e)
{
    int rc = buf_printf(out, e, "usage: qpipe %s%s%s [options]\n\n%s\n", c->name, *c->words ? " " : "",
                        c->words, c->doc);
    for (const char *const *p = c->details; !rc && *p; p++)
        rc = buf_printf(out, e, "\n%s\n", *p);
    if (!rc && c->options->name)
        rc = buf_str(out, "\noptions\n", e) || help_options(c, out, e);
    return rc ? -1 : 0;
}

static int stage_help(const struct stage_spec *s, struct buf *out, struct err *e)
{
    int rc = buf_printf(out, e, "%s: %s\n", s->name, s->doc);
    if (!rc && s->unbuilt)
        rc = buf_printf(out, e, "\n%s\n", s->unbuilt);
    rc = rc || buf_str(out, "\noptions\n", e) || opt_help(s->options, out, e);
    if (!rc && s->quantizes)
        rc = buf_str(out, "\noptions of every quantizing modifier\n", e) ||
             opt_help(quant_mixin_options, out, e);
    return rc ? -1 : 0;
}

static int statuses(struct buf *out, struct err *e)
{
    int rc = buf_str(out, "exit statuses\n", e);
    for (const struct exit_status *s = exit_statuses; !rc && s->text; s++)
        rc = buf_printf(out, e, "  %3d  %s\n", s->code, s->text);
    return rc;
}

static int topic(const char *name, struct buf *out, struct err *e)
{
    const struct command *c = command_find(name);
    const struct stage_spec *s = stage_spec_find(name);
    if (c && s) /* verify is both */
        return command_help_text(c, out, e) || buf_str(out, "\nas a stage of a recipe\n\n", e) ||
                       stage_help(s, out, e)
                   ? -1
                   : 0;
    if (c)
        return command_help_text(c, out, e);
    if (s)
        return stage_help(s, out, e);
    if (!strcmp(name, "exit-status"))
        return statuses(out, e);
    err_set(e, ERR_INPUT, "found no command, stage or modifier '%s'", name);
    return err_hint(e, "`qpipe list` prints all of them");
}

static int man_options(const struct opt *t, struct buf *out, struct err *e)
{
    int rc = 0;
    for (const struct opt *o = t; !rc && o->name; o++)
        rc = buf_printf(out, e, ".TP\n.B \\-\\-%s%s\n%s\n", o->name,
                        o->type == OPT_BOOL ? "" : " \\fIVALUE\\fR", o->doc);
    return rc;
}

int help_man(struct buf *out, struct err *e)
{
    int rc = buf_printf(
        out, e,
        ".TH QPIPE 1 \"\" \"qpipe %s\" \"User Commands\"\n.SH NAME\nqpipe \\- compress checkpoints of language models\n"
        ".SH SYNOPSIS\n.B qpipe\n\\fICOMMAND\\fR [\\fIoptions\\fR] [\\fIwords\\fR]\n.SH COMMANDS\n",
        QP_VERSION);
    for (const struct command *const *c = commands; !rc && *c; c++) {
        rc = buf_printf(out, e, ".SS \"qpipe %s %s\"\n%s\n", (*c)->name, (*c)->words, (*c)->doc);
        for (const char *const *p = (*c)->details; !rc && *p; p++)
            rc = buf_printf(out, e, ".PP\n%s\n", *p);
        rc = rc || man_options((*c)->options, out, e);
    }
    rc = rc || buf_str(out, ".SH OPTIONS OF EVERY COMMAND\n", e) || man_options(common_options, out, e) ||
         buf_str(out, ".SH EXIT STATUS\n", e);
    for (const struct exit_status *s = exit_statuses; !rc && s->text; s++)
        rc = buf_printf(out, e, ".TP\n.B %d\n%s\n", s->code, s->text);
    return rc ? -1 : 0;
}

static int words_of(const struct command *c, const char *dash, struct buf *out, struct err *e)
{
    int rc = 0;
    for (const struct opt *o = c->options; !rc && o->name; o++)
        rc = buf_printf(out, e, "%s%s%s", out->len && out->p[out->len - 1] != '"' ? " " : "", dash, o->name);
    for (const struct opt *o = common_options; !rc && o->name; o++)
        rc = buf_printf(out, e, " %s%s", dash, o->name);
    return rc;
}

static int bash_completion(struct buf *out, struct err *e)
{
    int rc = buf_str(
        out,
        "_qpipe() {\n    local cur=${COMP_WORDS[COMP_CWORD]} words=\"\"\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"",
        e);
    for (const struct command *const *c = commands; !rc && *c; c++)
        rc = buf_printf(out, e, "%s%s", c == commands ? "" : " ", (*c)->name);
    rc = rc || buf_str(out, "\"\n    else\n        case ${COMP_WORDS[1]} in\n", e);
    for (const struct command *const *c = commands; !rc && *c; c++)
        rc = buf_printf(out, e, "        %s) words=\"", (*c)->name) || words_of(*c, "--", out, e) ||
             buf_str(out, "\" ;;\n", e);
    return rc || buf_str(
                     out,
                     "        esac\n    fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- \"$cur\"))\n}\n"
                     "complete -o filenames -F _qpipe qpipe\n",
                     e)
               ? -1
               : 0;
}

static int fish_completion(struct buf *out, struct err *e)
{
    int rc = 0;
    for (const struct command *const *c = commands; !rc && *c; c++) {
        rc = buf_printf(out, e, "complete -c qpipe -n __fish_use_subcommand -a %s -d \"%s\"\n", (*c)->name,
                        (*c)->doc);
        for (const struct opt *o = (*c)->options; !rc && o->name; o++)
            rc = buf_printf(out, e,
                            "complete -c qpipe -n \"__fish_seen_subcommand_from %s\" -l %s -d \"%s\"\n",
                            (*c)->name, o->name, o->doc);
    }
    for (const struct opt *o = common_options; !rc && o->name; o++)
        rc = buf_printf(out, e, "complete -c qpipe -l %s -d \"%s\"\n", o->name, o->doc);
    return rc;
}

int help_completion(const char *shell, struct buf *out, struct err *e)
{
    if (!strcmp(shell, "fish"))
        return fish_completion(out, e);
    if (!strcmp(shell, "bash"))
        return bash_completion(out, e);
    if (!strcmp(shell, "zsh")) /* zsh runs bash's functions */
        return buf_str(out, "autoload -U bashcompinit && bashcompinit\n", e) || bash_completion(out, e) ? -1
                                                                                                        : 0;
    err_set(e, ERR_INPUT, "--completion: found '%s', expected bash, zsh or fish", shell);
    const char *near = str_nearest(shell, shells, 3, sizeof *shells);
    return near ? err_hint(e, "did you mean '%s'?", near) : -1;
}

static int run(struct cli *c, struct err *e)
{
    struct buf out = { 0 };
    int rc;
    if (c->man)
        rc = help_man(&out, e);
    else if (c->completion)
        rc = help_completion(c->completion, &out, e);
    else
        rc = c->word.n ? topic(c->word.v[0], &out, e) : overview(&out, e);
    if (!rc)
        rc = print_text(&out, e);
    buf_release(&out);
    return rc;
}

static const char *const details[] = {
    "Says what a command, a stage or a modifier does, with every option; `qpipe help exit-status` lists the exit statuses.",
    NULL
};
const struct command command_help = { "help",  "[TOPIC]", "Say what a command, stage or modifier does.",
                                      options, 0,         1,
                                      details, run,       false };
