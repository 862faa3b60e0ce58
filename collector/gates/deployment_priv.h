/* deployment_priv: what the files of the Helm deployment gate share.
 *
 *   deployment.c           the verdict
 *   deployment_start.c     when the clock starts: the namespace's lives, the earliest sign, marks
 *   deployment_steps.c     what came between, and what failed on the way
 *   deployment_attempts.c  installs of this stage, and earlier namespaces of its name
 */
#pragma once

#include "gates/gates_priv.h"

struct moment {
    int64_t lo, hi; /* hi 0: did not happen */
    struct fact_ref ref;
    int bound; /* Pilotgate__TimeBound */
};

struct deployment {
    const struct corr *c;
    const struct facts *f;
    const struct fact_life
        *life;     /* the namespace's last one, which is judged; NULL: its creation is not known */
    int64_t since; /* it began then; INT64_MIN: no earlier one of its name is known */
    struct moment t0, call;
    const char *t0_sign;  /* what set t0: static text */
    const json_t *mark;   /* that moved t0, NULL: none did */
    int64_t watched_from; /* when the first agent of the stage began to tell; INT64_MAX: none did */
    bool namespace_known;
    bool earlier_call; /* one succeeded before the clock started */
    bool served;       /* ... and nothing was installed since: the clock started too late */
    bool clock_known;  /* of the agent that made the call */
    bool adopted;      /* the product was deployed before anybody watched */
};

/* ---- deployment.c */

void moment_earlier(struct moment *m, int64_t lo, int64_t hi, struct fact_ref ref, int bound);
void moment_later(struct moment *m, const struct fact_phase *p);
/* Of the judged life of the namespace. */
bool deployment_has_phase(const struct deployment *d, const struct fact_phase *p);
bool deployment_has_revision(const struct deployment *d, const struct fact_revision *v);
struct moment deployment_first(const struct deployment *d, int kind); /* the first such phase */
struct moment deployment_created(const struct deployment *d);         /* the release's first revision */
struct moment deployment_deployed(const struct deployment *d);        /* when some revision first was */

/* ---- deployment_start.c */

/* Fills all but `call` and what depends on it. */
void deployment_start(struct deployment *d);
json_t *deployment_marks(const struct deployment *d); /* all that say "t0"; a new reference */

/* ---- deployment_steps.c; new references. stage gets the evidence. */

json_t *deployment_steps(const struct deployment *d, json_t *stage);
json_t *deployment_images(const struct deployment *d);
json_t *deployment_failures(const struct deployment *d, json_t *stage);

/* ---- deployment_attempts.c; new references */

json_t *deployment_installs(const struct deployment *d);
bool deployment_installed_from(const struct deployment *d, int64_t t); /* an install began at t or later */
json_t *deployment_past(const struct deployment *d);                   /* earlier namespaces of this name */
