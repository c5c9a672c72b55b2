/* num.c - numbers as text. The program never sets LC_NUMERIC, so strtod and printf speak the C locale here; everything
 * else in qpipe goes through these functions. */
#include "base/num.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* Length of an integer part without leading zeros at s, 0 if there is none. */
static size_t int_part(const char *s)
{
    size_t n = 0;
    while (digit(s[n]))
        n++;
    return n > 1 && s[0] == '0' ? 0 : n;
}

bool num_int(const char *s, int64_t *out)
{
    const char *p = s + (*s == '-');
    size_t n = int_part(p);
    if (!n || p[n])
        return false;
    errno = 0;
    long long v = strtoll(s, NULL, 10);
    if (errno)
        return false;
    *out = v;
    return true;
}

bool num_real(const char *s, double *out)
{
    const char *p = s + (*s == '-');
    size_t n = int_part(p);
    if (!n)
        return false;
    p += n;
    if (*p == '.') {
        if (!digit(*++p))
            return false;
        while (digit(*p))
            p++;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        if (!digit(*p))
            return false;
        while (digit(*p))
            p++;
    }
    if (*p)
        return false;
    double v = strtod(s, NULL);
    if (!isfinite(v))
        return false;
    *out = v;
    return true;
}

bool num_bytes(const char *s, int64_t *out)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = { { "", 1 },       { "B", 1 },        { "K", 0x1p10 },   { "KiB", 0x1p10 }, { "KB", 1e3 },
                  { "M", 0x1p20 }, { "MiB", 0x1p20 }, { "MB", 1e6 },     { "G", 0x1p30 },   { "GiB", 0x1p30 },
                  { "GB", 1e9 },   { "T", 0x1p40 },   { "TiB", 0x1p40 }, { "TB", 1e12 } };
    char head[32];
    size_t n = 0;
    while (digit(s[n]) || s[n] == '.')
        n++;
    if (!n || n >= sizeof head)
        return false;
    memcpy(head, s, n);
    head[n] = '\0';
    double v;
    if (!num_real(head, &v))
        return false;
    while (s[n] == ' ')
        n++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(s + n, units[i].unit)) {
            v *= units[i].factor;
            if (v > 9e18)
                return false;
            *out = (int64_t)v;
            return true;
        }
    return false;
}

static int finish(char *out, int n)
{
    if (!strpbrk(out, ".en")) {
        out[n++] = '.';
        out[n++] = '0';
        out[n] = '\0';
    }
    return n;
}

int num_shortest(double v, char *out)
{
    if (!isfinite(v))
        return snprintf(out, 32, "null");
    for (int p = 1; p <= 17; p++) {
        int n = snprintf(out, 30, "%.*g", p, v);
        if (strtod(out, NULL) == v || p == 17)
            return finish(out, n);
    }
    return 0;
}

int num_shortest_f(float v, char *out)
{
    if (!isfinite(v))
        return snprintf(out, 32, "null");
    for (int p = 1; p <= 9; p++) {
        int n = snprintf(out, 30, "%.*g", p, (double)v);
        if (strtof(out, NULL) == v || p == 9)
            return finish(out, n);
    }
    return 0;
}

const char *num_human_bytes(double n, char *out)
{
    static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    int i = 0;
    while (n >= 1024 && i < 5) {
        n /= 1024;
        i++;
    }
    snprintf(out, 32, i && n < 100 ? "%.2f %s" : "%.0f %s", n, unit[i]);
    return out;
}
