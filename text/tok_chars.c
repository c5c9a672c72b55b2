/* tok_chars.c - questions about characters, GPT-2's printable bytes, and repair of bytes that are no UTF-8. Categories
 * come from utf8proc (Unicode 15); White_Space is short and stable enough to be written out. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>
#include <utf8proc.h>

int grow(void **v, size_t *cap, size_t need, size_t size, struct err *e)
{
    if (need <= *cap)
        return 0;
    size_t to = *cap < 16 ? 16 : *cap;
    while (to < need)
        to += to / 2;
    if (to > SIZE_MAX / 4 / size)
        return err_nomem(e);
    void *p = mem_resize(*v, to * size, e);
    if (!p)
        return -1;
    *v = p;
    *cap = to;
    return 0;
}

bool char_is_space(unsigned c)
{
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

enum {
    LETTERS = 1 << UTF8PROC_CATEGORY_LU | 1 << UTF8PROC_CATEGORY_LL | 1 << UTF8PROC_CATEGORY_LT |
              1 << UTF8PROC_CATEGORY_LM | 1 << UTF8PROC_CATEGORY_LO,
    MARKS = 1 << UTF8PROC_CATEGORY_MN | 1 << UTF8PROC_CATEGORY_MC | 1 << UTF8PROC_CATEGORY_ME,
    NUMBERS = 1 << UTF8PROC_CATEGORY_ND | 1 << UTF8PROC_CATEGORY_NL | 1 << UTF8PROC_CATEGORY_NO,
    PUNCTUATION = 1 << UTF8PROC_CATEGORY_PC | 1 << UTF8PROC_CATEGORY_PD | 1 << UTF8PROC_CATEGORY_PS |
                  1 << UTF8PROC_CATEGORY_PE | 1 << UTF8PROC_CATEGORY_PI | 1 << UTF8PROC_CATEGORY_PF |
                  1 << UTF8PROC_CATEGORY_PO,
};

/* Categories as bits; what utf8proc's Unicode 15 does not know is looked up in our own list. */
static unsigned category(unsigned c)
{
    utf8proc_category_t known = utf8proc_category((utf8proc_int32_t)c);
    if (known != UTF8PROC_CATEGORY_CN)
        return 1u << known;
    static const struct {
        const char *name;
        utf8proc_category_t is;
    } names[] = { { "Lu", UTF8PROC_CATEGORY_LU }, { "Ll", UTF8PROC_CATEGORY_LL },
                  { "Lm", UTF8PROC_CATEGORY_LM }, { "Lo", UTF8PROC_CATEGORY_LO },
                  { "Mn", UTF8PROC_CATEGORY_MN }, { "Mc", UTF8PROC_CATEGORY_MC },
                  { "Nd", UTF8PROC_CATEGORY_ND }, { "No", UTF8PROC_CATEGORY_NO } };
    const char *name = unicode_added_category(c);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, name))
            return 1u << names[i].is;
    return 0;
}

/* Rust's standard library is at Unicode 17, which has two more runs. */
bool char_is_numeric(unsigned c)
{
    if (c < 0x80)
        return c >= '0' && c <= '9';
    return (category(c) & NUMBERS) || (c >= 0x11DE0 && c <= 0x11DE9) || (c >= 0x16FF4 && c <= 0x16FF6);
}

bool char_is_mark(unsigned c) { return c >= 0x300 && (category(c) & MARKS); }

bool char_is_punct(unsigned c)
{
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    if (c == 0x166D || c == 0x111C9) /* symbol and mark today, punctuation in Unicode 8 */
        return true;
    return (category(c) & PUNCTUATION) && !unicode_is_late_punct(c);
}

/* Alphabetic, M, Nd, Pc and the joiners. Alphabetic beyond L, M and Nl is three runs of circled letters and a fourth. */
bool char_is_word(unsigned c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    enum {
        WORD = LETTERS | MARKS | 1 << UTF8PROC_CATEGORY_ND | 1 << UTF8PROC_CATEGORY_NL |
               1 << UTF8PROC_CATEGORY_PC
    };
    return (category(c) & WORD) || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
           (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189) || c == 0x200C || c == 0x200D;
}

/* GPT-2 shows the bytes 0..32, 127..160 and 173 as U+0100.., in this order; the others as themselves. */
static unsigned byte_char(unsigned char b)
{
    if (b <= 32)
        return 256u + b;
    if (b >= 127 && b <= 160)
        return 256u + 33 + b - 127;
    return b == 173 ? 256u + 67 : b;
}

int byte_char_put(unsigned char b, char *out) { return utf8_put(byte_char(b), out); }

int byte_char_get(unsigned c)
{
    if (c < 256)
        return byte_char((unsigned char)c) == c ? (int)c : -1;
    if (c <= 256 + 32)
        return (int)c - 256;
    if (c < 256 + 67)
        return (int)c - 256 - 33 + 127;
    return c == 256 + 67 ? 173 : -1;
}

int bytes_map(const char *p, size_t n, struct buf *out, struct err *e)
{
    if (buf_reserve(out, 2 * n, e))
        return -1;
    char *o = out->p + out->len;
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)p[i];
        if (b > 32 && b < 127)
            *o++ = (char)b;
        else
            o += byte_char_put(b, o);
    }
    out->len = (size_t)(o - out->p);
    *o = 0;
    return 0;
}

/* ill_formed - bytes of the maximal ill-formed prefix at p (Unicode 15, 3.9, table 3-7: as long as it could still have
 * become a character). */
static size_t ill_formed(const unsigned char *p, size_t n)
{
    unsigned char lo = 0x80, hi = 0xBF, b = p[0];
    size_t more = b >= 0xF0 ? 3 : b >= 0xE0 ? 2 : 1;
    if (b < 0xC2 || b > 0xF4)
        return 1;
    if (b == 0xE0)
        lo = 0xA0;
    else if (b == 0xED)
        hi = 0x9F;
    else if (b == 0xF0)
        lo = 0x90;
    else if (b == 0xF4)
        hi = 0x8F;
    for (size_t i = 1; i <= more; i++, lo = 0x80, hi = 0xBF)
        if (i >= n || p[i] < lo || p[i] > hi)
            return i;
    return more + 1;
}

int utf8_repair(const char *p, size_t n, struct buf *out, struct err *e)
{
    while (n) {
        size_t good = utf8_valid(p, n);
        if (buf_add(out, p, good, e))
            return -1;
        p += good;
        n -= good;
        if (!n)
            break;
        size_t bad = ill_formed((const unsigned char *)p, n);
        if (buf_add(out, "\xEF\xBF\xBD", 3, e))
            return -1;
        p += bad;
        n -= bad;
    }
    return 0;
}
