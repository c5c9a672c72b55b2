/* calibrate.c - the calibrate stage: text or token ids become the sequences that the walk carries. */
#include "stages/rows.h"

#include "base/file.h"
#include "base/log.h"

#include <string.h>

static int plan(struct job *j, int index, struct err *e)
{
    const struct recipe_stage *rs = &j->recipe->stage[index];
    j->calibrate = rs->options;
    j->mode = (enum walk_mode)j->calibrate->sequential;
    if (j->calibrate->dataset && !path_exists(j->calibrate->dataset))
        return err_at(e, ERR_INPUT, rs->at, "dataset: found no file '%s'", j->calibrate->dataset);
    return 0;
}

int dataset_of(const struct job *j, const struct dataset_options *o, struct dataset *out, struct err *e)
{
    struct tokenizer *t = NULL;
    struct err why = { 0 };
    /* Token ids need no tokenizer: its absence is only an error when text has to be read. */
    t = tokenizer_open(j->load.checkpoint.dir, &why);
    if (!t && why.code == ERR_NOMEM)
        return err_nomem(e);
    int rc = dataset_load(o, t, j->load.model.vocab, out, e);
    if (rc && !t && strstr(e->what, "tokenizer")) { /* text had to be read */
        e->code = why.code == ERR_UNBUILT ? ERR_UNBUILT : e->code;
        if (why.at.line)
            err_hint(e, "%.120s:%d: %.180s", why.file, why.at.line, why.what);
        else
            err_hint(e, "%.300s", why.what);
    }
    tokenizer_free(t);
    return rc;
}

int64_t calibrate_length(const struct job *j)
{
    int64_t positions = j->load.model.max_positions;
    if (j->calibrate->sequence_length)
        return j->calibrate->sequence_length;
    return positions > 0 && positions < 2048 ? positions : 2048;
}

int calibrate_load(struct job *j, struct err *e)
{
    if (!job_calibrates(j))
        return 0;
    const struct calibrate_options *c = j->calibrate;
    struct dataset_options o = { .path = c->dataset,
                                 .field = c->field,
                                 .samples = c->samples,
                                 .sequence_length = calibrate_length(j),
                                 .min_length = c->min_length,
                                 .pack = (enum pack_mode)c->packing,
                                 .shuffle = c->shuffle,
                                 .seed = j->recipe->seed,
                                 .special = c->special_tokens };
    if (dataset_of(j, &o, &j->data, e))
        return err_while(e, "reading calibration data from %s", c->dataset);
    log_say(
        LOG_INFO,
        "calibration: %lld sequences, %lld tokens from %s (%s; %lld records, %lld too short, %lld empty, %lld cut)",
        (long long)j->data.n, (long long)j->data.tokens, c->dataset, j->data.format,
        (long long)j->data.records, (long long)j->data.skipped_short, (long long)j->data.skipped_empty,
        (long long)j->data.cut);
    if (c->samples && j->data.n < c->samples)
        return job_note(j, e, "%lld calibration samples were asked for, %lld were found",
                        (long long)c->samples, (long long)j->data.n);
    return 0;
}

const struct stage stage_calibrate = { "calibrate", plan };
