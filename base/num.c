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

/* Writes the p digits of "-d.ddde+xx" as Python's repr does: with an exponent below 1e-4 and from 1e16 on only. */
static int place_point(char *out, const char *sci, int p)
{
    const char *sign = *sci == '-' ? "-" : "", *d = sci + (*sci == '-'), *e = strchr(d, 'e');
    char digits[20];
    int x = (int)strtol(e + 1, NULL, 10);
    digits[0] = d[0];
    memcpy(digits + 1, d + 2, (size_t)p - 1);
    digits[p] = '\0';
    if (x < -4 || x >= 16)
        return snprintf(out, 32, "%s%c%s%s%s", sign, digits[0], p > 1 ? "." : "", digits + 1, e);
    if (x < 0)
        return snprintf(out, 32, "%s0.%.*s%s", sign, -x - 1, "000", digits);
    if (x >= p - 1)
        return snprintf(out, 32, "%s%s%.*s.0", sign, digits, x - p + 1, "000000000000000");
    return snprintf(out, 32, "%s%.*s.%s", sign, x + 1, digits, digits + x + 1);
}

int num_shortest(double v, char *out)
{
    char sci[32];
    if (!isfinite(v))
        return snprintf(out, 32, "null");
    int p = 1;
    for (; p <= 17; p++) {
        snprintf(sci, sizeof sci, "%.*e", p - 1, v);
        if (p == 17 || strtod(sci, NULL) == v)
            break;
    }
    return place_point(out, sci, p);
}

int num_shortest_f(float v, char *out)
{
    char sci[32];
    if (!isfinite(v))
        return snprintf(out, 32, "null");
    int p = 1;
    for (; p <= 9; p++) {
        snprintf(sci, sizeof sci, "%.*e", p - 1, (double)v);
        if (p == 9 || strtof(sci, NULL) == v)
            break;
    }
    return place_point(out, sci, p);
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
