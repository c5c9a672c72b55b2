/* steps_linear.c - the steps around matrices: embedding, positions, norms, products, gated and plain MLPs, sums, the head. */
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include "model/activation.h"
#include "model/steps.h"
#include <string.h>

int run_embed(struct run *r, const struct step *s, struct err *e)
{
    const struct module *m = model_part(r->m, -1, (int)s->part[0]);
    const struct tensor_source *t = r->m->tensors;
    int64_t ld = config_width(r->c, s->out);
    float scale = (float)r->c->embed_scale;
    for (int64_t i = 0; i < r->t; i++) {
        float *row = r->reg[s->out] + i * ld;
        if (r->ids[i] < 0 || r->ids[i] >= r->c->vocab)
            return err_set(
                e, ERR_INPUT,
                "sequence %lld, token %lld: found id %d, expected one in [0, %lld) (vocab_size of %s)",
                (long long)r->chunk, (long long)i, (int)r->ids[i], (long long)r->c->vocab, r->m->name);
        if (t->read_f32(t->self, m->tensor, r->ids[i], 1, row, e))
            return -1;
        for (int64_t j = 0; scale != 1.0f && j < m->in; j++)
            row[j] *= scale;
    }
    return 0;
}

int run_pos(struct run *r, const struct step *s, struct err *e)
{
    const struct module *m = model_part(r->m, -1, (int)s->part[0]);
    const struct tensor_source *t = r->m->tensors;
    int64_t first = r->c->positions_offset;
    if (first + r->t > m->out)
        return err_set(e, ERR_INPUT,
                       "sequence %lld: found %lld tokens, expected at most %lld (learned positions of %s)",
                       (long long)r->chunk, (long long)r->t, (long long)(m->out - first), r->m->name);
    if (t->read_f32(t->self, m->tensor, first, r->t, r->reg[REG_Y], e))
        return -1;
    k_axpy(r->t * m->in, 1, r->reg[REG_Y], r->reg[REG_X]);
    return 0;
}

int run_norm(struct run *r, const struct step *s, struct err *e)
{
    const struct config *c = r->c;
    const float *w = r->weights->w[s->part[0]], *b = r->weights->b[s->part[0]];
    const float *x = r->reg[s->in];
    int64_t d = c->hidden;
    (void)e;
    if (c->arch->norm == NORM_RMS)
        k_rmsnorm(r->t, d, x, d, w, c->arch->norm_offset, c->eps, r->reg[s->out], d);
    else
        k_layernorm(r->t, d, x, d, w, b, c->arch->norm_offset, c->eps, r->reg[s->out], d);
    return 0;
}

void run_linear(const struct run *r, enum part_id id, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    const struct part *p = config_part(r->c, id);
    int64_t out = r->c->dim[p->out], in = r->c->dim[p->in];
    if (r->act[id]) {
        activation_apply(r->act[id], r->t, in, x, ldx, r->rounded, in);
        x = r->rounded;
        ldx = in;
    }
    compute_now()->gemm_nt(r->t, out, in, x, ldx, r->weights->w[id], in, y, ldy, 0);
    if (r->weights->b[id])
        k_add_bias(r->t, out, y, ldy, r->weights->b[id]);
}

int run_lin(struct run *r, const struct step *s, struct err *e)
{
    (void)e;
    run_linear(r, s->part[0], r->reg[s->in], config_width(r->c, s->in), r->reg[s->out],
               config_width(r->c, s->out));
    return 0;
}

int run_add(struct run *r, const struct step *s, struct err *e)
{
    (void)e;
    k_axpy(r->t * r->c->hidden, (float)r->c->residual_scale, r->reg[s->in], r->reg[s->out]);
    return 0;
}

/* a = act(gate) * up. A fused matrix has the gate's rows first. */
int run_glu(struct run *r, const struct step *s, struct err *e)
{
    int64_t n = r->c->inter, ld = config_width(r->c, s->in);
    float *a = r->reg[s->out], *t = r->reg[REG_T];
    const float *x = r->reg[s->in];
    enum k_act act = (enum k_act)r->c->act;
    (void)e;
    if (!r->c->has[P_GATE_UP]) {
        run_linear(r, P_GATE, x, ld, a, n);
        run_linear(r, P_UP, x, ld, t, n);
        k_act(act, r->t * n, a, t);
        return 0;
    }
    run_linear(r, P_GATE_UP, x, ld, t, 2 * n);
    for (int64_t i = 0; i < r->t; i++) {
        memcpy(a + i * n, t + i * 2 * n, (size_t)n * sizeof *a);
        k_act(act, n, a + i * n, t + i * 2 * n + n);
    }
    return 0;
}

int run_ffn(struct run *r, const struct step *s, struct err *e)
{
    (void)e;
    run_linear(r, s->part[0], r->reg[s->in], config_width(r->c, s->in), r->reg[s->out], r->c->inter);
    k_act((enum k_act)r->c->act, r->t * r->c->inter, r->reg[s->out], NULL);
    return 0;
}

int run_head(struct run *r, const struct step *s, struct err *e)
{
    const struct config *c = r->c;
    float mul = (float)c->logit_mul, div = (float)c->logit_div, cap = (float)c->logit_cap;
    int64_t n = r->t * c->vocab;
    (void)e;
    run_linear(r, s->part[0], r->reg[s->in], config_width(c, s->in), r->logits, c->vocab);
    for (int64_t i = 0; mul != 1.0f && i < n; i++)
        r->logits[i] *= mul;
    for (int64_t i = 0; div != 1.0f && i < n; i++)
        r->logits[i] /= div;
    for (int64_t i = 0; cap > 0 && i < n; i++)
        r->logits[i] = cap * (float)m_tanh((double)(r->logits[i] / cap));
    return 0;
}
