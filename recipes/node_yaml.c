/* node_yaml.c - libyaml's events to a tree. libyaml checks neither duplicate keys nor depth nor what aliases expand to:
 * that is done here. Nodes of an alias are shared, not copied; what a copy would have cost still counts. */
#include "recipes/node_yaml.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>
#include <yaml.h>

/* MAX_TEXT: bytes of all texts once aliases and variables are expanded. MAX_KEYS of one mapping and MAX_ANCHORS bound what
 * looking for duplicates and names may cost. */
enum {
    MAX_BYTES = 1 << 20,
    MAX_DEPTH = 64,
    MAX_NODES = 100000,
    MAX_TEXT = 4 << 20,
    MAX_KEYS = 1024,
    MAX_ANCHORS = 1024
};

/* Everything that a document owns, freed together. */
struct block {
    struct block *next;
};
struct anchor {
    struct anchor *next;
    const char *name;
    struct node *node;
    int64_t weight; /* nodes that an alias to it stands for */
    int64_t text;   /* bytes of text in them */
    int height;     /* levels below it */
    bool open;      /* its own contents are still being read */
};
struct yaml_doc {
    char *name;
    struct node *root;
    struct block *blocks;
    struct anchor *anchors;
    int64_t nodes; /* after expansion */
    int64_t text;  /* bytes, after expansion */
    int n_anchors;
};
struct reader {
    struct yaml_doc *d;
    const char *text;
    size_t n;
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    int depth, highest; /* levels open now, and reached since the innermost open anchor */
    struct err *e;
};

static void *own(struct yaml_doc *d, size_t n, struct err *e)
{
    struct block *b = mem_alloc(sizeof *b + n, e);
    if (!b)
        return NULL;
    b->next = d->blocks;
    d->blocks = b;
    return b + 1;
}

static char *own_text(struct yaml_doc *d, const char *s, size_t n, struct err *e)
{
    char *p = own(d, n + 1, e);
    if (p && n)
        memcpy(p, s, n);
    return p;
}

static struct src_pos pos(const struct yaml_doc *d, const yaml_mark_t *m)
{
    struct src_pos at = { d->name, (int)m->line + 1, (int)m->column + 1 };
    return at;
}

/* libyaml counts characters; the text is known to be valid UTF-8. */
static bool is_tab(const struct reader *r, size_t character)
{
    for (size_t i = 0; i < r->n; i++)
        if (((unsigned char)r->text[i] & 0xC0) != 0x80 && !character--)
            return r->text[i] == '\t';
    return false;
}

static int parser_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return err_nomem(r->e);
    struct src_pos at = pos(r->d, &p->problem_mark);
    const char *problem = p->problem ? p->problem : "malformed";
    if (p->error == YAML_READER_ERROR)
        return err_set(r->e, ERR_INPUT, "%s: not readable as text at byte %zu: %s", r->d->name,
                       p->problem_offset, problem);
    if (is_tab(r, p->problem_mark.index)) {
        err_at(r->e, ERR_INPUT, at, "found a tab, expected spaces");
        return err_hint(r->e, "YAML is indented with spaces only");
    }
    err_at(r->e, ERR_INPUT, at, "not valid YAML: %s%s%s", problem, p->context ? ", " : "",
           p->context ? p->context : "");
    if (strstr(problem, "escape"))
        return err_hint(r->e,
                        "in double quotes a backslash starts an escape; write patterns in single quotes");
    if (strstr(problem, "cannot start any token"))
        return err_hint(r->e, "quote texts that begin with a special character");
    if (strstr(problem, "unknown anchor") || strstr(problem, "alphabetic or numeric"))
        return err_hint(r->e, "quote texts that begin with * or &");
    return -1;
}

static int next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return parser_error(r);
    r->has_event = true;
    return 0;
}

static int count(struct reader *r, int64_t n, int64_t text)
{
    struct src_pos at = pos(r->d, &r->event.start_mark);
    r->d->nodes += n;
    r->d->text += text;
    if (r->d->nodes > MAX_NODES)
        return err_at(r->e, ERR_LIMIT, at,
                      "found more than %d values once aliases are expanded, expected at most that",
                      MAX_NODES);
    if (r->d->text > MAX_TEXT)
        return err_at(r->e, ERR_LIMIT, at,
                      "found more than %d bytes of text once aliases are expanded, expected at most that",
                      MAX_TEXT);
    return 0;
}

/* Levels that are open and `more` of them below. */
static int check_depth(struct reader *r, int more)
{
    if (r->depth + more > r->highest)
        r->highest = r->depth + more;
    if (r->depth + more <= MAX_DEPTH)
        return 0;
    return err_at(r->e, ERR_LIMIT, pos(r->d, &r->event.start_mark),
                  "found more than %d levels of nesting, expected at most that", MAX_DEPTH);
}

static struct node *new_node(struct reader *r, enum node_kind kind)
{
    struct node *n = own(r->d, sizeof *n, r->e);
    if (!n || count(r, 1, 0))
        return NULL;
    n->kind = kind;
    n->at = pos(r->d, &r->event.start_mark);
    n->text = "";
    return n;
}

static struct anchor *find_anchor(struct yaml_doc *d, const char *name)
{
    for (struct anchor *a = d->anchors; a; a = a->next)
        if (!strcmp(a->name, name))
            return a;
    return NULL;
}

/* The latest anchor of a name is the one that counts, as YAML says. NULL name: no anchor, no error. */
static int open_anchor(struct reader *r, const yaml_char_t *name, struct node *n, struct anchor **out)
{
    *out = NULL;
    if (!name)
        return 0;
    if (++r->d->n_anchors > MAX_ANCHORS)
        return err_at(r->e, ERR_LIMIT, n->at, "found more than %d anchors, expected at most that",
                      MAX_ANCHORS);
    struct anchor *a = own(r->d, sizeof *a, r->e);
    if (!a)
        return -1;
    a->name = own_text(r->d, (const char *)name, strlen((const char *)name), r->e);
    if (!a->name)
        return -1;
    a->node = n;
    a->open = true;
    a->weight = r->d->nodes;
    a->text = r->d->text;
    a->height = r->highest; /* kept for the anchors around this one */
    r->highest = r->depth;
    a->next = r->d->anchors;
    r->d->anchors = a;
    *out = a;
    return 0;
}

static void close_anchor(struct reader *r, struct anchor *a)
{
    if (!a)
        return;
    a->open = false;
    a->weight = r->d->nodes - a->weight + 1;
    a->text = r->d->text - a->text;
    int around = a->height;
    a->height = r->highest - r->depth;
    if (around > r->highest)
        r->highest = around;
}

static struct node *read_alias(struct reader *r)
{
    const char *name = (const char *)r->event.data.alias.anchor;
    struct anchor *a = find_anchor(r->d, name);
    struct src_pos at = pos(r->d, &r->event.start_mark);
    if (!a) {
        err_at(r->e, ERR_INPUT, at, "found alias '*%.80s', expected an anchor '&%.80s' above it", name, name);
        err_hint(r->e, "quote a text that begins with *");
        return NULL;
    }
    if (a->open) {
        err_at(r->e, ERR_INPUT, at, "alias '*%.80s' stands inside its own anchor", name);
        return NULL;
    }
    return count(r, a->weight, a->text) || check_depth(r, a->height) ? NULL : a->node;
}

static int refuse_tag(struct reader *r, const yaml_char_t *tag, bool *is_str)
{
    *is_str = tag && (!strcmp((const char *)tag, YAML_STR_TAG) || !strcmp((const char *)tag, "!"));
    if (!tag || *is_str)
        return 0;
    err_at(r->e, ERR_INPUT, pos(r->d, &r->event.start_mark), "found tag '%.80s', expected none",
           (const char *)tag);
    return err_hint(r->e, "recipes are plain data; leave the tag out");
}

static struct node *read_scalar(struct reader *r)
{
    bool str;
    struct anchor *a;
    size_t len = r->event.data.scalar.length;
    const char *text = (const char *)r->event.data.scalar.value;
    if (refuse_tag(r, r->event.data.scalar.tag, &str))
        return NULL;
    struct node *n = new_node(r, NODE_SCALAR);
    if (!n || open_anchor(r, r->event.data.scalar.anchor, n, &a))
        return NULL;
    if (memchr(text, '\0', len)) {
        err_at(r->e, ERR_INPUT, n->at, "found a NUL character inside a text");
        return NULL;
    }
    if (count(r, 0, (int64_t)len))
        return NULL;
    n->text = own_text(r->d, text, len, r->e);
    n->quoted = str || r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    close_anchor(r, a);
    return n->text ? n : NULL;
}

/* A growing list of nodes while a collection is read. */
struct nodes {
    struct node **v;
    size_t n, cap;
};
static int push(struct nodes *l, struct node *n, struct err *e)
{
    if (l->n == l->cap) {
        struct node **v = mem_resize(l->v, (2 * l->cap + 8) * sizeof *v, e);
        if (!v)
            return -1;
        l->v = v;
        l->cap = 2 * l->cap + 8;
    }
    l->v[l->n++] = n;
    return 0;
}

static struct node **keep(struct reader *r, const struct nodes *l)
{
    struct node **v = own(r->d, (l->n + 1) * sizeof *v, r->e);
    if (v && l->n)
        memcpy(v, l->v, l->n * sizeof *v);
    return v;
}

static struct node *read_node(struct reader *r); /* of the event that is there */

static int read_items(struct reader *r, struct nodes *items)
{
    for (;;) {
        if (next(r))
            return -1;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        struct node *n = read_node(r);
        if (!n || push(items, n, r->e))
            return -1;
    }
}

static int refuse_duplicate(struct reader *r, const struct nodes *keys, const struct node *key)
{
    for (size_t i = 0; i < keys->n; i++)
        if (!strcmp(keys->v[i]->text, key->text))
            return err_at(r->e, ERR_INPUT, key->at, "found key '%.80s' twice, first at line %d, column %d",
                          key->text, keys->v[i]->at.line, keys->v[i]->at.col);
    return 0;
}

static int read_pairs(struct reader *r, struct nodes *keys, struct nodes *values)
{
    for (;;) {
        if (next(r))
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        struct node *key = read_node(r);
        if (!key)
            return -1;
        if (key->kind != NODE_SCALAR)
            return err_at(r->e, ERR_INPUT, key->at, "found %s as a key, expected a word", node_what(key));
        if (keys->n == MAX_KEYS)
            return err_at(r->e, ERR_LIMIT, key->at, "found more than %d keys in a mapping", MAX_KEYS);
        if (refuse_duplicate(r, keys, key) || push(keys, key, r->e) || next(r))
            return -1;
        struct node *value = read_node(r);
        if (!value || push(values, value, r->e))
            return -1;
    }
}

/* A pair of a mapping, in the place of the first one with that key, with the value of the last. */
static int put_pair(struct reader *r, struct nodes *keys, struct nodes *values, struct node *key,
                    struct node *value)
{
    for (size_t i = 0; i < keys->n; i++)
        if (!strcmp(keys->v[i]->text, key->text)) {
            keys->v[i] = key;
            values->v[i] = value;
            return 0;
        }
    if (keys->n == MAX_KEYS)
        return err_at(r->e, ERR_LIMIT, key->at, "found more than %d keys in a merged mapping", MAX_KEYS);
    return push(keys, key, r->e) || push(values, value, r->e) ? -1 : 0;
}

static int put_mapping(struct reader *r, const struct node *from, struct nodes *keys, struct nodes *values)
{
    if (from->kind != NODE_MAP)
        return err_at(r->e, ERR_INPUT, from->at, "found %s under '<<', expected a mapping", node_what(from));
    for (size_t i = 0; i < from->n; i++)
        if (put_pair(r, keys, values, from->key[i], from->item[i]))
            return -1;
    return 0;
}

/* "<<": the members of a mapping, or of several, come first, the last mapping of a list foremost; where keys meet, the
 * mapping's own win, then earlier ones of the list. So does PyYAML, and the order of modifiers follows from it. */
static int merge(struct reader *r, struct nodes *own_keys, struct nodes *own_values)
{
    size_t at = 0;
    while (at < own_keys->n && (strcmp(own_keys->v[at]->text, "<<") || own_keys->v[at]->quoted))
        at++;
    if (at == own_keys->n)
        return 0;
    const struct node *from = own_values->v[at];
    struct nodes keys = { 0 }, values = { 0 };
    int rc = from->kind == NODE_LIST ? 0 : put_mapping(r, from, &keys, &values);
    for (size_t i = from->kind == NODE_LIST ? from->n : 0; !rc && i-- > 0;)
        rc = put_mapping(r, from->item[i], &keys, &values);
    for (size_t i = 0; !rc && i < own_keys->n; i++)
        if (i != at)
            rc = put_pair(r, &keys, &values, own_keys->v[i], own_values->v[i]);
    mem_free(own_keys->v);
    mem_free(own_values->v);
    *own_keys = keys;
    *own_values = values;
    return rc;
}

static struct node *read_collection(struct reader *r, enum node_kind kind, const yaml_char_t *name,
                                    const yaml_char_t *tag)
{
    bool str;
    struct anchor *a;
    struct nodes keys = { 0 }, values = { 0 };
    if (tag && (!strcmp((const char *)tag, YAML_MAP_TAG) || !strcmp((const char *)tag, YAML_SEQ_TAG)))
        tag = NULL;
    if (refuse_tag(r, tag, &str))
        return NULL;
    struct node *n = new_node(r, kind);
    if (!n || open_anchor(r, name, n, &a))
        return NULL;
    if (check_depth(r, 1))
        return NULL;
    r->depth++;
    int rc = kind == NODE_LIST ? read_items(r, &values) : read_pairs(r, &keys, &values);
    if (!rc && kind == NODE_MAP)
        rc = merge(r, &keys, &values);
    if (!rc) {
        n->n = values.n;
        n->item = keep(r, &values);
        n->key = keep(r, &keys);
        rc = n->item && n->key ? 0 : -1;
    }
    r->depth--;
    close_anchor(r, a);
    mem_free(keys.v);
    mem_free(values.v);
    return rc ? NULL : n;
}

static struct node *read_node(struct reader *r)
{
    const yaml_event_t *v = &r->event;
    switch (v->type) {
    case YAML_ALIAS_EVENT: return read_alias(r);
    case YAML_SCALAR_EVENT: return read_scalar(r);
    case YAML_SEQUENCE_START_EVENT:
        return read_collection(r, NODE_LIST, v->data.sequence_start.anchor, v->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return read_collection(r, NODE_MAP, v->data.mapping_start.anchor, v->data.mapping_start.tag);
    default: err_set(r->e, ERR_BUG, "an event of YAML where a value was due"); return NULL;
    }
}

/* libyaml spends quadratic time on deep flow nesting before it gives an event: refuse by a look at the brackets. Brackets
 * inside quotes and comments only make the count larger, and no recipe has so many. */
static int refuse_deep(const char *p, size_t n, const char *name, struct err *e)
{
    int depth = 0, line = 1;
    for (size_t i = 0; i < n; i++) {
        line += p[i] == '\n';
        depth += p[i] == '[' || p[i] == '{';
        depth -= (p[i] == ']' || p[i] == '}') && depth > 0;
        if (depth > 16 * MAX_DEPTH) {
            struct src_pos at = { name, line, 0 };
            return err_at(e, ERR_LIMIT, at,
                          "found more than %d open brackets, expected at most %d levels of nesting",
                          16 * MAX_DEPTH, MAX_DEPTH);
        }
    }
    return 0;
}

/* A place by its byte. Columns count characters, as libyaml's do. */
static struct src_pos place(const char *p, size_t byte, const char *name)
{
    struct src_pos at = { name, 1, 1 };
    for (size_t i = 0; i < byte; i++) {
        at.col += ((unsigned char)p[i] & 0xC0) != 0x80;
        if (p[i] == '\n') {
            at.line++;
            at.col = 1;
        }
    }
    return at;
}

static int refuse_text(const char *p, size_t n, const char *name, struct err *e)
{
    if (n > MAX_BYTES)
        return err_set(e, ERR_LIMIT, "%s: found %zu bytes, expected at most %d", name, n, MAX_BYTES);
    size_t valid = utf8_valid(p, n);
    for (size_t i = 0; i < valid; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7F)
            return err_at(e, ERR_INPUT, place(p, i, name), "found the control character 0x%02X", c);
    }
    if (valid < n)
        return err_at(e, ERR_INPUT, place(p, valid, name), "byte 0x%02X at offset %zu is not valid UTF-8",
                      (unsigned char)p[valid], valid);
    return refuse_deep(p, n, name, e);
}

static int read_document(struct reader *r)
{
    struct yaml_doc *d = r->d;
    if (next(r) || next(r)) /* stream start, then document start or stream end */
        return -1;
    if (r->event.type == YAML_DOCUMENT_START_EVENT) {
        if (next(r) || !(d->root = read_node(r)) || next(r) || next(r))
            return -1;
        if (r->event.type != YAML_STREAM_END_EVENT)
            return err_at(r->e, ERR_INPUT, pos(d, &r->event.start_mark),
                          "found a second document, expected one");
    }
    if (d->root && !node_is_null(d->root))
        return 0;
    struct src_pos at = { d->name, 1, 1 };
    return err_at(r->e, ERR_INPUT, at, "the recipe is empty");
}

struct yaml_doc *yaml_doc_parse(const char *text, size_t n, const char *name, struct err *e)
{
    if (refuse_text(text, n, name, e))
        return NULL;
    struct yaml_doc *d = mem_alloc(sizeof *d, e);
    if (!d)
        return NULL;
    struct reader r = { .d = d, .text = text, .n = n, .e = e };
    d->name = mem_strdup(name, e);
    if (!d->name || !yaml_parser_initialize(&r.parser)) {
        err_nomem(e);
        yaml_doc_free(d);
        return NULL;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    int rc = read_document(&r);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    if (rc) {
        yaml_doc_free(d);
        return NULL;
    }
    return d;
}

const struct node *yaml_doc_root(const struct yaml_doc *d) { return d->root; }

void yaml_doc_free(struct yaml_doc *d)
{
    if (!d)
        return;
    for (struct block *b = d->blocks; b;) {
        struct block *gone = b;
        b = b->next;
        mem_free(gone);
    }
    mem_free(d->name);
    mem_free(d);
}

/* ---- variables ---- */

static const struct var *find_var(const struct var *vars, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(vars[i].name) == len && !memcmp(vars[i].name, name, len))
            return &vars[i];
    return NULL;
}

static int unknown_var(const struct node *n, const char *name, size_t len, const struct var *vars,
                       size_t n_vars, struct err *e)
{
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(len < 60 ? len : 60), name);
    err_at(e, ERR_INPUT, n->at, "found ${%s}, expected a name of vars:", word);
    const char *near = n_vars ? str_nearest(word, &vars->name, n_vars, sizeof *vars) : NULL;
    return near ? err_hint(e, "did you mean ${%s}?", near)
                : err_hint(e, "add it under vars:, or write $$ for a dollar");
}

static int expand(const struct node *n, const struct var *vars, size_t n_vars, struct buf *out, struct err *e)
{
    for (const char *p = n->text; *p;) {
        size_t plain = strcspn(p, "$");
        const char *end = p[plain] && p[plain + 1] == '{' ? strchr(p + plain, '}') : NULL;
        if (!end)
            plain += p[plain] == '$'; /* $$ is one dollar; a lone one stands for itself */
        if (out->len > MAX_TEXT)
            return err_at(e, ERR_LIMIT, n->at, "a text grows above %d bytes by its variables", MAX_TEXT);
        if (buf_add(out, p, plain, e))
            return -1;
        p += plain;
        if (!end) {
            p += plain && p[-1] == '$' && *p == '$';
            continue;
        }
        const struct var *v = find_var(vars, n_vars, p + 2, (size_t)(end - p - 2));
        if (!v)
            return unknown_var(n, p + 2, (size_t)(end - p - 2), vars, n_vars, e);
        if (buf_str(out, v->value, e))
            return -1;
        p = end + 1;
    }
    return 0;
}

/* A text that is one variable and nothing else means what the variable's value means unquoted. */
static int substitute(struct yaml_doc *d, struct node *n, const struct var *vars, size_t n_vars,
                      struct err *e)
{
    struct buf out = { 0 };
    bool whole =
        n->text[0] == '$' && n->text[1] == '{' && strchr(n->text, '}') == n->text + strlen(n->text) - 1;
    int rc = buf_reserve(&out, 1, e) || expand(n, vars, n_vars, &out, e) ? -1 : 0;
    if (!rc && !(n->text = own_text(d, out.p, out.len, e)))
        rc = -1;
    if (!rc && whole)
        n->quoted = false;
    buf_release(&out);
    return rc;
}

/* Nodes of aliases are met again and again: substituted once, their text counted each time. */
static int walk(struct yaml_doc *d, struct node *n, const struct var *vars, size_t n_vars, struct err *e)
{
    if (n->kind == NODE_SCALAR) {
        if (!n->substituted && strchr(n->text, '$') && substitute(d, n, vars, n_vars, e))
            return -1;
        n->substituted = true;
        d->text += (int64_t)strlen(n->text);
        return d->text <= MAX_TEXT
                   ? 0
                   : err_at(e, ERR_LIMIT, n->at,
                            "found more than %d bytes of text once variables are expanded", MAX_TEXT);
    }
    for (size_t i = 0; i < n->n; i++)
        if (walk(d, n->item[i], vars, n_vars, e))
            return -1;
    return 0;
}

int yaml_doc_substitute(struct yaml_doc *d, const struct var *vars, size_t n, struct err *e)
{
    d->text = 0;
    return walk(d, d->root, vars, n, e);
}
