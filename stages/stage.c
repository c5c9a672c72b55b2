/* stage.c - the stages table. A modifier is a row here, an option table in recipes, and a file in modifiers/. */
#include "stages/rows.h"

#include <stddef.h>

const struct stage *const stages[] = {
    &stage_load,        &stage_calibrate, &stage_gptq,   &stage_rtn,  &stage_awq,
    &stage_smoothquant, &stage_logeq,     &stage_verify, &stage_save, NULL,
};
