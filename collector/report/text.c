/* text: texts of others in columns of a terminal. Whatever is in them, no terminal obeys it. */
#include <string.h>

#include "report/report_priv.h"

#define DOTS 3 /* columns of what stands for the rest */

void report_plain(FILE *to, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool c1 = c == 0xc2 && i + 1 < n && (unsigned char)text[i + 1] < 0xa0; /* U+0080 to U+009F */
        if (c1)
            i++;
        (void)fputc(c < 0x20 || c == 0x7f || c1 ? '?' : c, to);
    }
}

static bool begins_column(char c) {
    return ((unsigned char)c & 0xc0) != 0x80; /* continuation bytes of UTF-8 take none */
}

unsigned report_columns(const char *text) {
    unsigned n = 0;
    for (; *text; text++)
        n += begins_column(*text);
    return n;
}

size_t report_bytes(const char *text, unsigned columns) {
    size_t i = 0;
    for (; text[i]; i++)
        if (begins_column(text[i]) && columns-- == 0)
            break;
    return i;
}

void report_cut(const struct report *r, const char *text, unsigned room) {
    unsigned columns = report_columns(text);
    bool whole = room == 0 || columns <= room;
    unsigned shown = whole ? columns : room > DOTS ? room - DOTS : 0;
    report_plain(r->to, text, report_bytes(text, shown));
    if (!whole)
        (void)fputs("...", r->to);
    for (unsigned i = shown + (whole ? 0 : DOTS); i < room; i++)
        (void)fputc(' ', r->to);
}

/* Bytes of text that fit into room columns, ended at a space where there is one. UTF-8 continuation bytes
 * take no column. */
static size_t line_length(const char *text, unsigned room) {
    size_t last_space = 0;
    size_t i = 0;
    for (unsigned columns = 0; text[i]; i++) {
        if (((unsigned char)text[i] & 0xc0) == 0x80)
            continue;
        if (columns++ >= room)
            return last_space ? last_space : i;
        if (text[i] == ' ')
            last_space = i;
    }
    return i;
}

void report_wrapped(const struct report *r, const char *text, unsigned indent) {
    unsigned room = r->width > indent + 20 ? r->width - indent : 0;
    while (room) {
        size_t n = line_length(text, room);
        report_plain(r->to, text, n);
        (void)fputc('\n', r->to);
        text += n;
        while (*text == ' ')
            text++;
        if (!*text)
            return;
        (void)fprintf(r->to, "%*s", (int)indent, "");
    }
    report_plain(r->to, text, strlen(text));
    (void)fputc('\n', r->to);
}
