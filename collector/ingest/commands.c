/* commands: CLI processes put commands into the store; we send each to the sessions of its stage and count
 * the answers. A command that is lost on its way simply stays unanswered: the CLI decides what then. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <string.h>

#include "base/when.h"

struct sending {
    struct ingest *i;
    struct store_command *c;
    Pilotgate__Frame *frame;
};

static void send_one(void *ctx, struct session *s) {
    struct sending *w = ctx;
    if (s->gone || strcmp(s->cluster, w->c->cluster) != 0 ||
        strcmp(s->namespace_name, w->c->namespace_name) != 0)
        return;
    frame_send(w->i, s, w->frame);
    if (!s->gone)
        w->c->sent++;
}

static int take_command(void *ctx, const struct store_command *row) {
    struct ingest *i = ctx;
    size_t at = row->id % INGEST_COMMANDS;
    struct store_command *c = &i->commands[at];
    *c = *row;
    c->sent = c->answered_ok = c->answered_bad = 0;
    i->last_command = row->id;
    i->command_changed[at] = true;
    Pilotgate__Command command = PILOTGATE__COMMAND__INIT;
    command.id = row->id;
    command.kind = (Pilotgate__Command__Kind)row->kind;
    command.ttl_seconds = row->ttl_seconds;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_COMMAND;
    f.command = &command;
    struct sending w = {i, c, &f};
    session_each(&i->sessions, send_one, &w);
    return 0;
}

static int write_counts(struct ingest *i, struct err *e) {
    for (size_t k = 0; k < INGEST_COMMANDS; k++) {
        if (!i->command_changed[k])
            continue;
        int r = store_update_command(i->store, &i->commands[k], e);
        if (r < 0)
            return r;
        i->command_changed[k] = false;
    }
    return 0;
}

int commands_poll(struct ingest *i, struct err *e) {
    int r = store_commands(i->store, i->last_command, when_wall_ns(), take_command, i, e);
    if (r == 0)
        r = write_counts(i, e);
    return r;
}

void commands_again(struct ingest *i) {
    for (size_t k = 0; k < INGEST_COMMANDS; k++)
        i->command_changed[k] = i->commands[k].id != 0;
}

void commands_result(struct ingest *i, struct session *s, const Pilotgate__CommandResult *r) {
    size_t at = r->id % INGEST_COMMANDS;
    struct store_command *c = &i->commands[at];
    bool ours = r->id != 0 && c->id == r->id && strcmp(s->cluster, c->cluster) == 0 &&
                strcmp(s->namespace_name, c->namespace_name) == 0;
    if (!ours || r->id <= s->answered)
        return;
    s->answered = r->id;
    if (r->ok)
        c->answered_ok++;
    else
        c->answered_bad++;
    i->command_changed[at] = true;
}
