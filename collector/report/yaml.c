/* yaml: a JSON document as YAML, by libyaml's emitter, in block style and with its keys in their order.
 *
 * What it writes means the same to readers of YAML 1.1 (PyYAML, older kubectl) and 1.2: a text that either
 * would read as something else is quoted (https://yaml.org/type/ {bool,int,float,null,timestamp,merge,value};
 * YAML 1.2.2, 10.3.2), as is one with a character that a terminal obeys or that readers fold. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "report/report.h"

#define NUMBER_MAX 64

/* ---- which style a text bears */

/* Words that YAML 1.1 or 1.2 takes for a boolean or null, in any case: a few more than those do. */
static bool is_word(const char *s) {
    static const char *const words[] = {"y",  "n",   "yes",  "no", "true", "false",
                                        "on", "off", "null", "~",  NULL};
    for (size_t i = 0; words[i]; i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

/* Numbers of either version, dates, ".inf", "<<" and "=" begin so; and so does some harmless text. */
static bool may_be_number(const char *s) {
    return isdigit((unsigned char)*s) || strchr("+-.<=", *s);
}

/* Breaks that a reader makes '\n' of, or that is not one to all readers: CR, NEL, LS, PS; and a BOM. */
static bool has_odd_break(const char *s) {
    return strchr(s, '\r') || strstr(s, "\xc2\x85") || strstr(s, "\xe2\x80\xa8") ||
           strstr(s, "\xe2\x80\xa9") || strstr(s, "\xef\xbb\xbf");
}

/* The emitter changes what a style cannot bear into one that can, but for these. */
static yaml_scalar_style_t style_of(const char *s, size_t len, bool key) {
    if (strlen(s) != len || has_odd_break(s))
        return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    if (strchr(s, '\n'))
        return key || isspace((unsigned char)*s) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                                                 : YAML_LITERAL_SCALAR_STYLE;
    if (!*s || is_word(s) || may_be_number(s))
        return YAML_SINGLE_QUOTED_SCALAR_STYLE;
    return YAML_PLAIN_SCALAR_STYLE;
}

/* ---- events; each function is true when the emitter took what it was given */

static bool emit(yaml_emitter_t *to, yaml_event_t *ev, int initialized) {
    return initialized && yaml_emitter_emit(to, ev);
}

static bool scalar(yaml_emitter_t *to, const char *s, size_t len, yaml_scalar_style_t style) {
    yaml_event_t ev;
    return emit(to, &ev,
                yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s, (int)len, 1, 1, style));
}

static bool plain(yaml_emitter_t *to, const char *s) {
    return scalar(to, s, strlen(s), YAML_PLAIN_SCALAR_STYLE);
}

static bool text(yaml_emitter_t *to, const char *s, size_t len, bool key) {
    return scalar(to, s, len, style_of(s, len, key));
}

/* The shortest that is read back as the same, with a point and a signed exponent: YAML 1.1 takes "1e20" for a
 * text. */
static bool real(yaml_emitter_t *to, double value) {
    char digits[NUMBER_MAX], out[2 * NUMBER_MAX];
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    size_t whole = strcspn(digits, "e");
    bool point = memchr(digits, '.', whole) != NULL;
    (void)snprintf(out, sizeof out, "%.*s%s%s", (int)whole, digits, point ? "" : ".0", digits + whole);
    return plain(to, out);
}

static bool value(yaml_emitter_t *to, const json_t *v);

static bool array(yaml_emitter_t *to, const json_t *v) {
    yaml_event_t ev;
    size_t i;
    json_t *item;
    if (!emit(to, &ev, yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE)))
        return false;
    json_array_foreach((json_t *)v, i, item) {
        if (!value(to, item))
            return false;
    }
    return emit(to, &ev, yaml_sequence_end_event_initialize(&ev));
}

static bool object(yaml_emitter_t *to, const json_t *v) {
    yaml_event_t ev;
    const char *key;
    json_t *item;
    if (!emit(to, &ev, yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)))
        return false;
    json_object_foreach((json_t *)v, key, item) {
        if (!text(to, key, strlen(key), true) || !value(to, item))
            return false;
    }
    return emit(to, &ev, yaml_mapping_end_event_initialize(&ev));
}

static bool value(yaml_emitter_t *to, const json_t *v) {
    char digits[NUMBER_MAX];
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return object(to, v);
    case JSON_ARRAY:
        return array(to, v);
    case JSON_STRING:
        return text(to, json_string_value(v), json_string_length(v), false);
    case JSON_INTEGER:
        (void)snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(v));
        return plain(to, digits);
    case JSON_REAL:
        return real(to, json_real_value(v));
    case JSON_TRUE:
        return plain(to, "true");
    case JSON_FALSE:
        return plain(to, "false");
    default:
        return plain(to, "null");
    }
}

static bool document(yaml_emitter_t *to, const json_t *doc) {
    yaml_event_t ev;
    return emit(to, &ev, yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING)) &&
           emit(to, &ev, yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1)) && value(to, doc) &&
           emit(to, &ev, yaml_document_end_event_initialize(&ev, 1)) &&
           emit(to, &ev, yaml_stream_end_event_initialize(&ev));
}

static int put(void *file, unsigned char *bytes, size_t n) {
    return fwrite(bytes, 1, n, file) == n;
}

int report_yaml(FILE *to, const json_t *doc) {
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        return -ENOMEM;
    yaml_emitter_set_output(&emitter, put, to);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1); /* lines are never folded: a script may read them */
    yaml_emitter_set_indent(&emitter, 2);
    int r = document(&emitter, doc) ? 0 : emitter.error == YAML_WRITER_ERROR ? -EIO : -ENOMEM;
    yaml_emitter_delete(&emitter);
    return r;
}
