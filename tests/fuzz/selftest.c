/* selftest.c - a fuzz entry with a known fault, for selftest.sh: aborts on input that contains "boom" whole, and on any
 * input shorter than what it saw first when QPIPE_SELFTEST_CUT is set (so a cut variant must have been made). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static size_t first;
    if (size >= 4 && memmem(data, size, "boom", 4))
        abort();
    if (first == 0)
        first = size;
    if (size < first && getenv("QPIPE_SELFTEST_CUT"))
        abort();
    return 0;
}
