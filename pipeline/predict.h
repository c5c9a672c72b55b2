/* predict.h - what a run on several ranks will take: time, memory, traffic, from the shapes of the plan, one rank's rate and the
 * network's. The formulas are those of docs/scaling.md; bench/scaling compares them with measured runs. */
#ifndef QP_PIPELINE_PREDICT_H
#define QP_PIPELINE_PREDICT_H
#include "pipeline/plan.h"

struct machine {
    double flops;   /* of one rank: products, FLOP/s; 0: measured here (predict_rate) */
    double network; /* bytes/s between two ranks; 0: 25 Gbit/s */
    double memory;  /* bytes that a rank may use; 0: not known */
};
/* Seconds are of the longest rank. */
struct prediction {
    int ranks;
    bool by_layers;
    const char *why;       /* the sharding was chosen */
    double walk, solve;    /* s: forward passes and Gram matrices; factors and solves */
    double verify;         /* s: held-out text */
    double reduce, spread; /* s: sums up the tree and to those who solve; decoded weights to all */
    double total, one;     /* s: all of it; the same on one rank */
    double traffic;        /* bytes that the busiest rank sends and receives */
    int64_t memory;        /* bytes of a rank at most */
};
/* predict - for `ranks` ranks of a planned job; sets *by_layers where the recipe leaves it open. */
void predict(struct job *j, const struct plan_cost *c, int ranks, const struct machine *m,
             struct prediction *out);
double predict_rate(
    void); /* FLOP/s of exact products with all threads of this process, measured for about 0.1 s */
/* predict_fits - ERR_LIMIT when a rank needs more than m->memory. */
int predict_fits(const struct prediction *p, const struct machine *m, struct err *e);
int predict_text(const struct prediction *p, struct buf *out, struct err *e);
void predict_json(const struct prediction *p, struct jw *w);
#endif
