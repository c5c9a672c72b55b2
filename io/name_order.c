/* name_order.c - natural order of names: layer 2 before layer 10. */
#include "io/name_order.h"

#include <string.h>

static size_t digits(const char *p)
{
    size_t n = 0;
    while (p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

int name_order(const char *a, const char *b)
{
    const char *x = a, *y = b;
    while (*x && *y) {
        size_t n = digits(x), m = digits(y);
        if (!n || !m) {
            if (*x != *y)
                return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
            x++, y++;
            continue;
        }
        for (; n > 1 && *x == '0'; n--)
            x++;
        for (; m > 1 && *y == '0'; m--)
            y++;
        int c = n != m ? (n < m ? -1 : 1) : memcmp(x, y, n);
        if (c)
            return c;
        x += n, y += m;
    }
    return *x || *y ? (*x ? 1 : -1) : strcmp(a, b);
}
