/* phase.h - where the time of a run goes. The main thread says what it begins; the seconds since the last such call count
 * for what it did before. Time never enters an output: phase_report prints it as lines of the log. */
#ifndef QP_BASE_PHASE_H
#define QP_BASE_PHASE_H

enum phase {
    PHASE_REST, /* planning, hashing, files */
    PHASE_WEIGHTS,
    PHASE_STORE,
    PHASE_MATRICES,
    PHASE_ATTENTION,
    PHASE_ROWS,
    PHASE_GRAM,
    PHASE_FACTOR,
    PHASE_SOLVE,
    PHASE_COUNT
};
/* Returns the phase before, to go back to. Main thread only. */
enum phase phase_enter(enum phase p);
void phase_report(void);
#endif
