/* table: aligned columns, documents, and times for people. */
#include "cli/cli.h"

#include <string.h>

#include "base/when.h"
#include "report/report.h"

#define COLUMNS_MAX 16

static const char *cell(const json_t *row, size_t k) {
    const char *text = json_string_value(json_array_get(row, k));
    return text ? text : "";
}

static void print_row(const struct cli *c, FILE *to, const json_t *row, size_t index, const int *widths) {
    bool bold = c->colour && index == 0;
    if (bold)
        (void)fputs("\033[1m", to);
    size_t n = json_array_size(row);
    for (size_t k = 0; k < n && k < COLUMNS_MAX; k++) {
        const char *text = cell(row, k);
        int pad = k + 1 < n ? widths[k] - (int)report_columns(text) + 2 : 0;
        (void)fprintf(to, "%s%*s", text, pad, "");
    }
    (void)fputs(bold ? "\033[0m\n" : "\n", to);
}

void cli_table(const struct cli *c, FILE *to, const json_t *rows) {
    int widths[COLUMNS_MAX] = {0};
    size_t i;
    json_t *row;
    if (json_array_size(rows) < 2)
        return;
    json_array_foreach(rows, i, row) for (size_t k = 0; k < json_array_size(row) && k < COLUMNS_MAX; k++) {
        int width = (int)report_columns(cell(row, k));
        if (width > widths[k])
            widths[k] = width;
    }
    json_array_foreach(rows, i, row) print_row(c, to, row, i, widths);
}

bool cli_wants_document(const struct cli *c) {
    return strcmp(c->format, "json") == 0 || strcmp(c->format, "yaml") == 0;
}

int cli_document(const struct cli *c, const json_t *doc) {
    int r = strcmp(c->format, "yaml") == 0 ? report_yaml(stdout, doc) : report_json(stdout, doc);
    return r < 0 ? cli_fail("cannot write the output: %s", strerror(-r)) : CLI_OK;
}

char *cli_ago(int64_t then_ns, int64_t now_ns, char *out) {
    char text[WHEN_TEXT_MAX];
    if (then_ns == 0)
        (void)snprintf(out, CLI_AGO_MAX, "never");
    else
        (void)snprintf(out, CLI_AGO_MAX, "%s ago",
                       when_format_duration(now_ns > then_ns ? now_ns - then_ns : 0, text));
    return out;
}
